// No template takes the host's time or memory, or reaches anything of it.

import Jinja
import Testing

@Suite("Bounds", .timeLimit(.minutes(1)))
struct BoundsTests {
    private static let small = Limits(steps: 200_000, textBytes: 1 << 20)

    @Test(
        "What runs away ends with an error",
        arguments: [
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{{ range(100001) }}", "{{ 'x' * 9999999999 }}", "{{ 'abc' * 9223372036854775807 }}",
            "{{ [1] * 2000000 }}", "{{ [0] * 9223372036854775807 }}",
            "{% set ns = namespace(t='xx') %}{% for i in range(99) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
            "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
            "{% set ns = namespace(l=[1]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}",
            "{% set ns = namespace(l=[1]) %}{% for i in range(150) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
            "{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(150) %}{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}",
            "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
            "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
            "{{ '%999999999d' % 1 }}", "{{ '%*d' % (999999999, 1) }}", "{{ '{:>999999999}'.format(1) }}",
            "{{ 'x'.center(99999999) }}", "{{ 'x'.zfill(9999999999) }}", "{{ 'x'|indent(99999999, true) }}",
            "{{ [1, 2]|tojson(indent=99999999) }}", "{{ ['x' * 1000]|batch(99999999, 'x')|list }}",
            "{{ ('a' * 1000)|replace('a', 'b' * 100000) }}", "{{ ['x' * 1000000, 'y' * 1000000]|join }}",
            "{{ 'x'.join(['y' * 100000] * 1000) }}", "{{ ('\t' * 1000).expandtabs(99999999) }}",
            "{% for i in range(1000) %}{{ 'x' * 10000 }}{% endfor %}",
        ])
    func runaway(template: String) {
        #expect(
            fault(template, limits: Self.small)?.kind == .limit,
            "\(String(describing: fault(template, limits: Self.small)))")
    }

    @Test("Integers that do not fit are an error, not another number")
    func integers() {
        for template in [
            "{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}", "{{ 9223372036854775807 * 2 }}",
            "{{ 2 ** 64 }}", "{{ '99999999999999999999'|int }}", "{{ 1e300|int }}", "{{ 99999999999999999999 }}",
            "{{ (-9223372036854775807 - 1) // -1 }}", "{{ -(-9223372036854775807 - 1) }}",
            "{{ (-9223372036854775807 - 1)|abs }}",
        ] {
            #expect(fault(template) != nil, "\(template)")
        }
    }

    @Test("Templates nest only so deep", arguments: ["(", "[", "-", "not (", "{'a':", "x(", "x[", "1 if ", "x|d("])
    func nesting(opening: String) {
        #expect(fault("{{ " + String(repeating: opening, count: 20_000))?.line == 1)
    }

    @Test("Long chains and deep blocks are refused before they are run")
    func chains() throws {
        #expect(fault("{{ 1" + String(repeating: " + 1", count: 5_000) + " }}")?.kind == .limit)
        #expect(fault("{{ x" + String(repeating: ".a", count: 5_000) + " }}")?.kind == .limit)
        #expect(fault("{{ x" + String(repeating: "|d", count: 5_000) + " }}")?.kind == .limit)
        #expect(fault(String(repeating: "{% if 1 %}", count: 5_000))?.kind == .limit)
        // What is flat may be long.
        #expect(try render("{{ 1" + String(repeating: " ~ 1", count: 5_000) + " }}").bytes.count == 5_001)
        let branches = String(repeating: "{% elif x == 1 %}a", count: 2_000)
        #expect(try render("{% if false %}\(branches){% else %}b{% endif %}").description == "b")
        #expect(fault(String(repeating: "x", count: 1 << 21))?.kind == .limit)
    }

    @Test("Chains of scopes and namespaces are let go without running out of stack")
    func release() throws {
        let chain = """
            {% set ns = namespace(last=none) %}{% macro keep() %}{% set ns.last = caller %}{% endmacro %}
            {% for i in range(20000) %}{% set before = ns.last %}{% call keep() %}{{ before }}{% endcall %}{% endfor %}
            {% set link = namespace(end=none) %}{% for i in range(20000) %}{% set link.end = namespace(next=link.end) %}{% endfor %}
            {% for i in range(20000) %}{% for x in [1] %}{% if loop.changed(ns.loop) %}{% endif %}{% set ns.loop = loop %}{% endfor %}{% endfor %}
            """
        _ = try render(chain)
    }

    @Test("Time grows with a message's length, not with its square")
    func longMessages() throws {
        let template = """
            {% for m in messages %}{% if '</think>' in m.content %}{{ m.content.split('</think>')[-1].lstrip('\\n') }}\
            {% else %}{{ m.content | trim | replace('a', 'bb') | upper }}{% endif %}{{ m.content[::-1] | length }}\
            {{ m.content | tojson | length }}{{ m.content.splitlines() | length }}{{ m.content.rfind('zzzz') }}{% endfor %}
            """
        let clock = ContinuousClock()
        func seconds(_ count: Int) throws -> Double {
            let content = String(repeating: "é of a tide\n", count: count)
            let messages = try [content, content + "</think>" + content].map { text in
                try Value.mapping([
                    (
                        key: Text(Array("content".utf8)),
                        value: .text(Text(Array(text.utf8), origin: Origin(owner: 1, isInput: true)))
                    )
                ])
            }
            let variables: [(String, Value)] = [("messages", try .array(messages))]
            return try clock.measure { _ = try render(template, variables, limits: Limits(steps: 100_000_000)) }
                / .seconds(1)
        }
        _ = try seconds(1_000)
        let short = try seconds(4_000)
        // Sixteen times the length; the square would be 256 times the time.
        #expect(try seconds(64_000) < max(short, 0.002) * 100)
    }

    @Test("Errors name the line and the cause")
    func lines() {
        #expect(fault("a\n\n{{ 1 / 0 }}")?.description == "line 3: division by zero")
        #expect(fault("a\n{% if x %}\n{{ y.z }}{% endif %}") == nil)
        #expect(fault("a\n{% if true %}\n{{ y.z }}{% endif %}")?.description == "line 3: 'y' is undefined")
        #expect(fault("\n{{ raise_exception('no ' ~ 1) }}")?.description == "line 2: no 1")
        #expect(fault("\n{{ raise_exception('no') }}")?.kind == .raised)
        #expect(fault("{% for x in y %}\n{% if z")?.line == 2)
        #expect(fault("{{ [].append(1) }}")?.kind == .security)
        #expect(fault("{{ raise_exception('x' * 100000) }}")?.message.utf8.count == 303)
    }

    @Test(
        "Nothing of the host has a name",
        arguments: [
            "self", "config", "request", "os", "__builtins__", "lipsum.__globals__", "range.__call__",
            "cycler.__init__",
        ])
    func names(name: String) throws {
        #expect(try render("{{ \(name) is defined }}{{ \(name) }}").description == "False")
    }

    @Test("The clock is the caller's")
    func clock() throws {
        #expect(
            try render("{{ strftime_now('%A %d %B %Y, %H:%M%z%f%') }}").description
                == "Saturday 04 July 2026, 12:00000000%")
        #expect(try render("[{{ strftime_now('') }}]").description == "[]")
    }
}
