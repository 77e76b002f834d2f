// What is bound and told where a name, a wildcard or IPv6 is asked for.

import Glibc
import Testing
import Wire

@Suite("Binding", .timeLimit(.minutes(1)))
struct BindingTests {
    private func attempts(_ text: String, _ found: [Host] = []) throws -> [Binding.Attempt] {
        try Binding.attempts(Endpoint(text)) { _ in found }
    }

    @Test func addressesAreBoundAsTheyAre() throws {
        #expect(try attempts("tcp://10.0.0.1:1") == [.init(text: "tcp://10.0.0.1:1", isIPv6: false)])
        #expect(try attempts("tcp://[fd00::1]:1") == [.init(text: "tcp://[fd00::1]:1", isIPv6: true)])
        #expect(try attempts("tcp://*:1") == [.init(text: "tcp://*:1", isIPv6: true)])
        #expect(try attempts("tcp://0.0.0.0:1") == [.init(text: "tcp://0.0.0.0:1", isIPv6: false)])
        #expect(try attempts("ipc:///tmp/x") == [.init(text: "ipc:///tmp/x", isIPv6: false)])
    }

    @Test func aNameIsResolvedFirst() throws {
        let found = [Host.ipv4([10, 0, 0, 1]), .ipv6([0xfd] + [UInt8](repeating: 0, count: 14) + [1])]
        #expect(
            try attempts("tcp://a.example:1", found) == [
                .init(text: "tcp://10.0.0.1:1", isIPv6: false), .init(text: "tcp://[fd00::1]:1", isIPv6: true),
            ])
        // What the resolver does not know may be an interface.
        #expect(try attempts("tcp://eth0:1") == [.init(text: "tcp://eth0:1", isIPv6: false)])
        #expect(try attempts("tcp://localhost:1", [.ipv4([127, 0, 0, 1])]).first?.text == "tcp://127.0.0.1:1")
    }

    @Test func aNameThatLeadsNobodyElseHereIsRefusedWithWhatToWrite() {
        let error = #expect(throws: ZeroMQError.self) { try attempts("tcp://myhost:5700", [.ipv4([127, 0, 1, 1])]) }
        #expect(error?.description.contains("127.0.1.1") == true)
        #expect(error?.description.contains("tcp://*:5700") == true)
    }

    @Test func aNameIsConnectedToByWhatItHas() {
        func connects(_ text: String, _ found: [Host]) -> Bool { Binding.connectsByIPv6(text) { _ in found } }
        let six = Host.ipv6([0xfd] + [UInt8](repeating: 0, count: 14) + [1])
        #expect(!connects("tcp://a:1", [.ipv4([10, 0, 0, 1]), six]))
        #expect(connects("tcp://a:1", [six]))
        #expect(!connects("tcp://a:1", []))
        #expect(connects("tcp://[fd00::1]:1", []))
        #expect(!connects("ipc:///x", []))
    }

    @Test(.enabled(if: hasIPv6, "no IPv6 loopback here"), arguments: ["tcp://[::1]:*", "tcp://*:*"])
    func messagesPassOverIPv6(text: String) async throws {
        let transport = try Carrier.zeroMQ.make()
        let ear = try Ear()
        let listener = try transport.listen(at: Endpoint(text), as: .control)
        ear.listen(listener)
        let link = try transport.connect(
            to: listener.endpoint.advertised(as: "[::1]").description, named: PeerID.random(), as: .control)
        await ear.sendSurely(Packet(epoch: Epoch(incarnation: 1, counter: 1), sequence: 1, .probe), link)
        var heard = ear.heard.makeAsyncIterator()
        #expect(await heard.next()?.packet != nil)
        await ear.stop()
    }

    @Test func theSiblingIsTheNextPort() throws {
        #expect(try Endpoint("tcp://*:5700").sibling(suffix: ".r").description == "tcp://*:5701")
        #expect(try Endpoint("tcp://*:*").sibling(suffix: ".r").description == "tcp://*:*")
        #expect(try Endpoint("ipc:///a").sibling(suffix: ".r").description == "ipc:///a.r")
    }

    @Test func aWorkerIsKnownByItsRoute() throws {
        #expect(try Endpoint.ownHost(towards: Endpoint("tcp://127.0.0.1:5700")) == "127.0.0.1")
        #expect(try Endpoint.ofWorker(towards: Endpoint("tcp://127.0.0.1:5700"))?.description == "tcp://127.0.0.1:*")
        let wild = try Endpoint("tcp://*:5710")
        #expect(wild.known(as: nil, otherwise: "10.0.0.1").description == "tcp://10.0.0.1:5710")
        #expect(wild.known(as: "a", otherwise: "10.0.0.1").description == "tcp://a:5710")
        #expect(try Endpoint("tcp://10.0.0.2:5710").known(as: nil, otherwise: "x").description == "tcp://10.0.0.2:5710")
    }

    @Test func anIPv6AddressGetsItsBrackets() {
        #expect(HostAddress.bracketed("fd00::1") == "[fd00::1]")
        for text in ["[fd00::1]", "10.0.0.1", "a.example", "", "a:b"] { #expect(HostAddress.bracketed(text) == text) }
    }

    @Test func whatIsOursIsKnown() {
        for own in ["127.0.0.1", "localhost", "[::1]", "127.8.8.8"] { #expect(Resolution.isOfThisMachine(own)) }
        for other in ["192.0.2.77", "[2001:db8::7]", "not a host", "*"] { #expect(!Resolution.isOfThisMachine(other)) }
    }

    private static var hasIPv6: Bool {
        let socket = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { return false }
        defer { close(socket) }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_addr.__in6_u.__u6_addr8.15 = 1
        return withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in6>.size)) == 0
            }
        }
    }
}
