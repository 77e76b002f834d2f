// Every stretch of a rendered text says whose words it is.

import Jinja
import Testing

@Suite("Origins")
struct OriginTests {
    /// A text's runs as `owner:text`, the owner in capitals where it was handed in.
    private func runs(_ template: String) throws -> [String] {
        func message(_ index: Int, _ role: String, _ content: String) throws -> Value {
            let owner = UInt32(index + 1)
            func text(_ string: String) -> Text {
                Text(Array(string.utf8), origin: Origin(owner: owner, isInput: true))
            }
            return try .mapping(
                [
                    (
                        key: text("role"),
                        value: .text(Text(Array(role.utf8), origin: Origin(owner: owner, isInput: false)))
                    ),
                    (key: text("content"), value: .text(text(content))),
                ], owner: owner)
        }
        let messages = try Value.array([message(0, "system", " Be é brief. "), message(1, "user", "Now? a,b")])
        let text = try render(template, [("messages", messages)])
        var start = 0
        return text.runs.map { run in
            defer { start = run.end }
            let letter =
                run.origin.owner == 0
                ? "-"
                : run.origin.isInput ? ["", "S", "U"][Int(run.origin.owner)] : ["", "s", "u"][Int(run.origin.owner)]
            return letter + ":" + String(decoding: text.bytes[start..<run.end], as: UTF8.self)
        }
    }

    @Test(
        "Words keep their origin whatever is done to them",
        arguments: [
            ("{{ messages[0].content }}", ["S: Be é brief. "]),
            ("{{ messages[0].content | trim | upper }}", ["S:BE É BRIEF."]),
            ("{{ messages[0].content[4:7] }}", ["S:é b"]),
            ("{{ messages[0].content[::-1] }}", ["S: .feirb é eB "]),
            ("{{ messages[1].content.split(',')[1] }}", ["U:b"]),
            ("{{ messages[1].content.split() | last }}", ["U:a,b"]),
            ("{{ messages[1].content | replace('a', 'x') }}", ["U:Now? ", "-:x", "U:,b"]),
            ("{% for c in messages[1].content[:2] %}{{ c }}{% endfor %}", ["U:No"]),
            (
                "{{ [messages[0].content, messages[1].content] | map('trim') | join('|') }}",
                ["S:Be é brief.", "s:|", "U:Now? a,b"]
            ),
            ("{{ '%s!' % messages[1].content }}", ["U:Now? a,b", "u:!"]),
            ("{{ '<{}>'.format(messages[1].content) }}", ["u:<", "U:Now? a,b", "u:>"]),
            ("{{ messages[1].content | tojson }}", ["u:\"", "U:Now? a,b", "u:\""]),
            ("{{ messages[1].content | indent(2, true) }}", ["u:  ", "U:Now? a,b"]),
            ("{{ messages[1].content.title() }}{{ messages[1].content | lower }}", ["U:Now? A,Bnow? a,b"]),
            ("{% set x %}{{ messages[0].content | trim }}{% endset %}{{ x }}", ["S:Be é brief."]),
            ("{% macro m(t) %}[{{ t }}]{% endmacro %}{{ m(messages[1].content) }}", ["-:[", "U:Now? a,b", "-:]"]),
            ("{% filter upper %}x{{ messages[1].content }}{% endfilter %}", ["-:X", "U:NOW? A,B"]),
            ("{{ messages[1] }}", ["u:{'", "U:role", "u:': 'user', '", "U:content", "u:': '", "U:Now? a,b", "u:'}"]),
        ])
    func kept(template: String, expected: [String]) throws {
        #expect(try runs(template) == expected, "\(template)")
    }

    @Test(
        "What a template writes while it stands at a message is that message's",
        arguments: [
            (
                "<s>{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}<a>",
                ["-:<s>", "s:<system>", "S:Be é brief.", "s:</>", "u:<user>", "U:Now? a,b", "u:</>", "-:<a>"]
            ),
            (
                "{% for m in messages[1:] %}{% for x in [1, 2] %}{{ x }}{% endfor %}{% endfor %}{{ 3 }}",
                ["u:12", "-:3"]
            ),
            (
                // The system message stands inside the first user message, with marks of its own.
                "{% for m in messages[1:] %}{{ '[' + '<<' + messages[0].content.strip() + '>>' + m.content + ']' }}{% endfor %}",
                ["s:[<<", "S:Be é brief.", "s:>>", "U:Now? a,b", "u:]"]
            ),
            (
                // Gathered first, written at the end.
                "{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = ns.t + '<' + m.role + '>' + m.content + '</>' %}{% endfor %}{{ ns.t }}",
                ["s:<system>", "S: Be é brief. ", "s:</>", "u:<user>", "U:Now? a,b", "u:</>"]
            ),
            (
                // Copied before they are written.
                "{% set ns = namespace(l=[]) %}{% for m in messages %}{% set ns.l = ns.l + [{'c': m.content}] %}{% endfor %}{% for m in ns.l %}<{{ m.c }}>{% endfor %}",
                ["s:<", "S: Be é brief. ", "s:>", "u:<", "U:Now? a,b", "u:>"]
            ),
            (
                "{% for m in messages %}{% set m = dict(m, content='x') %}{% endfor %}{% for m in [dict(messages[1], content='x')] %}<{{ m.content }}>{% endfor %}",
                ["u:<x>"]
            ),
        ])
    func attributed(template: String, expected: [String]) throws {
        #expect(try runs(template) == expected, "\(template)")
    }
}
