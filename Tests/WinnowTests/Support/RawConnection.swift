// TCP byte by byte, for peers that keep to no protocol.

import Foundation
import Synchronization

/// A blocking connection to a port of 127.0.0.1. Its calls belong off the cooperative pool: see `blocking`.
final class RawConnection: Sendable {
    fileprivate let descriptor: Int32

    init(port: UInt16) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw POSIXError(.EMFILE) }
        var address = loopback(port)
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            close(descriptor)
            throw POSIXError(.ECONNREFUSED)
        }
        self.descriptor = descriptor
        // Nobody waits longer than this for a peer that neither reads nor closes.
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    fileprivate init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Returns whether all was taken.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            done += count
        }
        return true
    }

    /// What there is, empty at the end; `nil`: nothing came in 5 s.
    func receive() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count < 0, errno == EAGAIN { return nil }
        return Array(buffer.prefix(max(0, count)))
    }

    /// Whether the other side closes within 5 s of its last word.
    func isCut() -> Bool {
        while let bytes = receive() { if bytes.isEmpty { return true } }
        return false
    }

    func shut() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}

private func loopback(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
    return address
}

/// Stands between one client and a server, and keeps what the client says.
final class Recorder: Sendable {
    let port: UInt16
    private let listener: RawConnection
    private let bytes = Mutex<[UInt8]>([])

    /// - Parameter target: the server's port.
    init(target: UInt16) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = loopback(0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { general in
                bind(descriptor, general, size) == 0 && listen(descriptor, 1) == 0
                    ? getsockname(descriptor, general, &size) : -1
            }
        }
        guard status == 0 else { throw POSIXError(.EADDRINUSE) }
        listener = RawConnection(descriptor: descriptor)
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { [listener, self] in
            let accepted = accept(listener.descriptor, nil, nil)
            guard accepted >= 0, let server = try? RawConnection(port: target) else { return }
            let client = RawConnection(descriptor: accepted)
            Thread.detachNewThread {
                while let part = server.receive(), !part.isEmpty, client.send(part) {}
                client.shut()
            }
            while let part = client.receive(), !part.isEmpty {
                self.bytes.withLock { $0 += part }
                guard server.send(part) else { break }
            }
            server.shut()
        }
    }

    var recorded: [UInt8] { bytes.withLock { $0 } }
}

/// Runs calls that block.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { done in
        Thread.detachNewThread { done.resume(with: Result { try body() }) }
    }
}
