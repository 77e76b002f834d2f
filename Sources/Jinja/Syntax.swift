// A template as a tree.

/// An expression and its line.
final class Expression: Sendable {
    indirect enum Kind: Sendable {
        case constant(Literal)
        case name(String)
        case list([Expression])
        case tuple([Expression])
        case mapping([(key: Expression, value: Expression)])
        case attribute(Expression, String)
        case item(Expression, Expression)
        case slice(Expression, start: Expression?, stop: Expression?, step: Expression?)
        case call(Expression, CallSyntax)
        /// Without a target it filters the text of a block.
        case filter(Expression?, String, CallSyntax)
        case test(Expression, String, CallSyntax)
        case not(Expression)
        case negate(Expression)
        case plus(Expression)
        case arithmetic(Token.Sign, Expression, Expression)
        case concatenation([Expression])
        case comparison(Expression, [(Comparator, Expression)])
        case and(Expression, Expression)
        case or(Expression, Expression)
        case conditional(Expression, then: Expression, otherwise: Expression?)
    }

    /// A value that the template's text gives.
    enum Literal: Sendable {
        case none
        case boolean(Bool)
        case integer(Int)
        case float(Double)
        case text(Text)
    }

    enum Comparator: Sendable {
        case sign(Token.Sign)
        case isIn, isNotIn
    }

    let kind: Kind
    let line: Int
    /// How deep expressions nest in it.
    let depth: Int

    /// An expression that holds `parts`; throws when they nest too deep.
    init(_ kind: Kind, line: Int, _ parts: [Expression] = []) throws(TemplateError) {
        self.kind = kind
        self.line = line
        depth = 1 + parts.reduce(0) { max($0, $1.depth) }
        guard depth <= Limits.expressionDepth else {
            throw TemplateError(
                .limit, "an expression nests deeper than \(Limits.expressionDepth)", line: line)
        }
    }
}

/// What stands between the parentheses of a call.
struct CallSyntax: Sendable {
    var positional: [Expression] = []
    var named: [(name: String, value: Expression)] = []
    /// `*list`.
    var rest: Expression?
    /// `**mapping`.
    var namedRest: Expression?

    var parts: [Expression] {
        positional + named.map(\.value) + [rest, namedRest].compactMap { $0 }
    }
}

/// What a value is assigned to.
indirect enum Target: Sendable {
    case name(String)
    case attribute(of: String, String)
    case tuple([Target])
}

/// A statement and its line.
struct Statement: Sendable {
    indirect enum Kind: Sendable {
        case text(Text)
        case output(Expression)
        case loop(LoopSyntax)
        case branches([(condition: Expression, body: [Statement])], otherwise: [Statement])
        case set(Target, Expression)
        /// `{% set x %}...{% endset %}`, the text filtered.
        case setBlock(Target, filter: Expression?, [Statement])
        case macro(MacroSyntax)
        case callBlock(Expression, CallSyntax, MacroSyntax)
        case filterBlock(Expression, [Statement])
        case with([(Target, Expression)], [Statement])
        /// A block with a name, which sees the template's variables only, unless it is scoped.
        case block([Statement], isScoped: Bool)
        /// What the assistant writes, for training: a scope of its own.
        case generation([Statement])
        case breakLoop
        case continueLoop
        /// Something that needs other templates.
        case otherTemplate(String)
    }

    var kind: Kind
    var line: Int
}

struct LoopSyntax: Sendable {
    var target: Target
    var items: Expression
    var condition: Expression?
    var isRecursive: Bool
    var body: [Statement]
    var otherwise: [Statement]
}

final class MacroSyntax: Sendable {
    let name: String
    let parameters: [(name: String, fallback: Expression?)]
    let body: [Statement]
    /// The body names these without having them as parameters.
    let usesCaller: Bool
    let usesNamed: Bool
    let usesPositional: Bool
    let line: Int

    init(
        name: String, parameters: [(name: String, fallback: Expression?)], body: [Statement], names: Set<String>,
        line: Int
    ) {
        self.name = name
        self.parameters = parameters
        self.body = body
        let free = names.subtracting(parameters.map(\.name))
        usesCaller = free.contains("caller")
        usesNamed = free.contains("kwargs")
        usesPositional = free.contains("varargs")
        self.line = line
    }
}
