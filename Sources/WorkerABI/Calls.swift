// The functions of winnow_worker.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CWinnowWorker

@c @implementation
public func winnow_abi_version() -> UInt32 { UInt32(WINNOW_WORKER_ABI_VERSION) }

@c @implementation
public func winnow_worker_config_init(_ config: UnsafeMutablePointer<winnow_worker_config>?, _ struct_size: Int) {
    guard let config else { return }
    var defaults = winnow_worker_config.defaults
    defaults.struct_size = struct_size
    withUnsafeBytes(of: defaults) { bytes in
        guard let start = bytes.baseAddress else { return }
        // A size that is no struct's, also one of the upper half of size_t, is told by what takes the struct.
        let count = Int(min(UInt(bitPattern: struct_size), UInt(bytes.count)))
        UnsafeMutableRawPointer(config).copyMemory(from: start, byteCount: count)
    }
}

@c @implementation
public func winnow_worker_create(
    _ config: UnsafePointer<winnow_worker_config>?, _ worker: UnsafeMutablePointer<OpaquePointer?>?
) -> UnsafeMutablePointer<winnow_status>? {
    status { () throws(CallError) in
        worker?.pointee = nil
        try checkMayWait("winnow_worker_create")
        guard let worker else { throw .argument("worker", "is NULL") }
        guard let config else { throw .argument("config", "is NULL") }
        // The size comes first, and says how much more may be read.
        let size = UnsafeRawPointer(config).loadUnaligned(as: Int.self)
        let count = try winnow_worker_config.known(size, of: "config")
        var known = winnow_worker_config.defaults
        withUnsafeMutableBytes(of: &known) { $0.copyMemory(from: UnsafeRawBufferPointer(start: config, count: count)) }
        worker.pointee = Handles.all.add(try HostedWorker(known))
    }
}

@c @implementation
public func winnow_worker_start(_ worker: OpaquePointer?) -> UnsafeMutablePointer<winnow_status>? {
    status { () throws(CallError) in try Handles.all.worker(worker).start() }
}

@c @implementation
public func winnow_worker_drain(_ worker: OpaquePointer?) -> UnsafeMutablePointer<winnow_status>? {
    status { () throws(CallError) in try Handles.all.worker(worker).drain() }
}

@c @implementation
public func winnow_worker_stop(_ worker: OpaquePointer?) -> UnsafeMutablePointer<winnow_status>? {
    status { () throws(CallError) in try Handles.all.worker(worker).stop() }
}

@c @implementation
public func winnow_worker_wait(_ worker: OpaquePointer?, _ timeout_ms: Int64) -> UnsafeMutablePointer<winnow_status>? {
    status { () throws(CallError) in
        try checkMayWait("winnow_worker_wait")
        try Handles.all.worker(worker).wait(timeout: timeout_ms)
    }
}

@c @implementation
public func winnow_worker_destroy(_ worker: OpaquePointer?) -> UnsafeMutablePointer<winnow_status>? {
    status { () throws(CallError) in
        guard let worker else { return }
        try checkMayWait("winnow_worker_destroy")
        try Handles.all.remove(worker).destroy()
    }
}

@c @implementation
public func winnow_worker_descriptor(
    _ worker: OpaquePointer?, _ descriptor: UnsafeMutablePointer<Int32>?
) -> UnsafeMutablePointer<winnow_status>? {
    status { () throws(CallError) in
        guard let descriptor else { throw .argument("descriptor", "is NULL") }
        descriptor.pointee = -1
        descriptor.pointee = try Handles.all.worker(worker).descriptor()
    }
}

@c @implementation
public func winnow_worker_next_event(
    _ worker: OpaquePointer?, _ event: UnsafeMutablePointer<winnow_event>?, _ is_event: UnsafeMutablePointer<Int32>?
) -> UnsafeMutablePointer<winnow_status>? {
    status { () throws(CallError) in
        guard let is_event else { throw .argument("is_event", "is NULL") }
        is_event.pointee = 0
        guard let event else { throw .argument("event", "is NULL") }
        let worker = try Handles.all.worker(worker)
        _ = try winnow_event.known(event.pointee.struct_size, of: "event")
        guard let next = try worker.nextEvent() else { return }
        try winnow_event.write(next, to: event, of: "event")
        is_event.pointee = 1
    }
}

@c @implementation
public func winnow_worker_get_snapshot(
    _ worker: OpaquePointer?, _ snapshot: UnsafeMutablePointer<winnow_worker_snapshot>?
) -> UnsafeMutablePointer<winnow_status>? {
    status { () throws(CallError) in
        guard let snapshot else { throw .argument("snapshot", "is NULL") }
        let worker = try Handles.all.worker(worker)
        try winnow_worker_snapshot.write(winnow_worker_snapshot(try worker.snapshot()), to: snapshot, of: "snapshot")
    }
}

@c @implementation
public func winnow_worker_endpoint(
    _ worker: OpaquePointer?, _ endpoint: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> UnsafeMutablePointer<winnow_status>? {
    status { () throws(CallError) in
        guard let endpoint else { throw .argument("endpoint", "is NULL") }
        endpoint.pointee = nil
        endpoint.pointee = try Handles.all.worker(worker).endpointText
    }
}
