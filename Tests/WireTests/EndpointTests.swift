import Testing
import Wire

@Suite("Endpoints")
struct EndpointTests {
    @Test(arguments: [
        ("tcp://127.0.0.1:5700", "tcp://127.0.0.1:5700", true, true),
        ("tcp://127.0.0.1:*", "tcp://127.0.0.1:*", true, false),
        ("tcp://localhost:0", "tcp://localhost:*", true, false),
        ("tcp://[::1]:80", "tcp://[::1]:80", true, true),
        ("tcp://0.0.0.0:80", "tcp://0.0.0.0:80", false, false),
        ("tcp://*:80", "tcp://*:80", false, false),
        ("tcp://host.example:65535", "tcp://host.example:65535", false, true),
        ("ipc:///tmp/a b", "ipc:///tmp/a b", true, true),
        ("tcp://127.255.0.9:80", "tcp://127.255.0.9:80", true, true),
        ("tcp://LocalHost:80", "tcp://LocalHost:80", true, true),
        ("tcp://[0:0:0:0:0:0:0:1]:80", "tcp://[0:0:0:0:0:0:0:1]:80", true, true),
        ("tcp://[::ffff:127.0.0.1]:80", "tcp://[::ffff:127.0.0.1]:80", true, true),
        // Names that look like loopback addresses, and addresses that look like loopback.
        ("tcp://127.evil.example:5700", "tcp://127.evil.example:5700", false, true),
        ("tcp://127.0.0.1.evil.example:80", "tcp://127.0.0.1.evil.example:80", false, true),
        ("tcp://localhost.evil.example:80", "tcp://localhost.evil.example:80", false, true),
        ("tcp://128.0.0.1:80", "tcp://128.0.0.1:80", false, true),
        ("tcp://[::2]:80", "tcp://[::2]:80", false, true),
        ("tcp://[fe80::1%eth0]:80", "tcp://[fe80::1%eth0]:80", false, true),
        ("tcp://[0::0]:80", "tcp://[0::0]:80", false, false),
        ("tcp://[::ffff:0.0.0.0]:80", "tcp://[::ffff:0.0.0.0]:80", false, false),
        ("tcp://my_host:80", "tcp://my_host:80", false, true),
    ])
    func goodOnesAreRead(text: String, canonical: String, isLocal: Bool, isConnectable: Bool) throws {
        let endpoint = try Endpoint(text)
        #expect(endpoint.description == canonical)
        #expect(endpoint.isLocal == isLocal)
        #expect(endpoint.isConnectable == isConnectable)
    }

    @Test(arguments: [
        "", "tcp://", "tcp://:80", "tcp://h", "tcp://h:", "tcp://h:65536", "tcp://h:-1", "tcp://h:x", "udp://h:1",
        "tcp://127.1:80", "tcp://0:80", "tcp://0x7f000001:80", "tcp://127.0.0.0x1:80", "tcp://256.0.0.1:80",
        "tcp://::1:80", "tcp://[::1:80", "tcp://[]:80", "tcp://[127.0.0.1]:80", "tcp://[::1%]:80", "tcp://h:+1",
        "tcp://h..x:80", "tcp://-h:80", "tcp://10.0.0.1:0;10.0.0.2:80", "tcp://h/x:80", "tcp://h\n:80", "ipc:///a\0b",
        "ipc://", "tcp://a b:1", "inproc://x", "127.0.0.1:80", "ipc://" + String(repeating: "x", count: 108),
    ])
    func badOnesAreRefusedWithTheFix(text: String) {
        let error = #expect(throws: Endpoint.ParseError.self) { try Endpoint(text) }
        #expect(error?.description.contains("tcp://HOST:PORT") == true)
    }

    @Test func aWildcardIsReachedUnderAName() throws {
        let endpoint = try Endpoint("tcp://0.0.0.0:5700").advertised(as: "host-a")
        #expect(endpoint.description == "tcp://host-a:5700")
        #expect(endpoint.isConnectable)
    }
}
