// Runs a template's statements.

/// One rendering. It changes as it goes and is used once.
final class Renderer {
    enum Flow {
        case next, breakLoop, continueLoop
    }

    let budget: Budget
    let clock: Clock
    private let limits: Limits
    /// The template's line that is run.
    var line = 0
    /// What the text is written to.
    private var output: TextBuilder
    /// Whose the template's words are that are written now: a loop stands at something of theirs.
    private var owner: UInt32 = 0
    /// Calls, blocks and expressions that are open.
    private var depth = 0
    private let root: Frame
    /// Everything that may hold itself, to be emptied at the end.
    private var namespaces: [Namespace] = []
    private var captured: [Frame] = []
    private var loops: [LoopState] = []

    init(variables: [(String, Value)], clock: Clock, limits: Limits) throws(TemplateError) {
        budget = Budget(limits)
        output = TextBuilder(budget)
        self.clock = clock
        self.limits = limits
        let globals = Frame(nil)
        for name in Self.globalNames { globals.values[name] = .function(try Function(.global(name))) }
        let context = Frame(globals)
        for (name, value) in variables { context.values[name] = value }
        root = Frame(context)
    }

    /// The text of the whole template.
    func render(_ statements: [Statement]) throws(TemplateError) -> Text {
        defer { release() }
        do throws(TemplateError) {
            _ = try run(statements, root)
        } catch {
            var located = error
            if located.line == 0 { located.line = line }
            // A template may put a whole message into its error.
            let scalars = located.message.unicodeScalars
            if scalars.count > 300 { located.message = String(scalars.prefix(300)) + "..." }
            throw located
        }
        return output.text
    }

    /// Scopes and namespaces may hold each other in circles and in chains: each is emptied alone.
    private func release() {
        for namespace in namespaces { namespace.attributes = MappingContents() }
        for loop in loops { loop.lastSeen = nil }
        for frame in captured { frame.values = [:] }
    }

    // MARK: Bounds

    /// Enters something that nests. Every `enter` is followed by a `leave`, except on the way of an error.
    func enter() throws(TemplateError) {
        depth += 1
        guard depth <= limits.depth else {
            throw TemplateError(.limit, "calls and blocks nest deeper than \(limits.depth)")
        }
        try budget.spend()
    }

    func leave() { depth -= 1 }

    // MARK: Output

    /// Writes text where the statements that run now write.
    func emit(_ text: Text) throws(TemplateError) {
        try output.append(text, owner: owner)
    }

    /// The text that `body` writes.
    func capture(_ body: () throws(TemplateError) -> Void) throws(TemplateError) -> Text {
        let outer = output
        output = TextBuilder(budget)
        defer { output = outer }
        try body()
        return output.text
    }

    // MARK: What is kept for release

    func makeNamespace() throws(TemplateError) -> Namespace {
        try budget.spend(8)
        let namespace = Namespace()
        namespaces.append(namespace)
        return namespace
    }

    func makeMacro(_ syntax: MacroSyntax, _ frame: Frame) throws(TemplateError) -> Value {
        captured.append(frame)
        return .function(try Function(.macro(syntax, frame)))
    }

    /// A mapping that the template makes. While a loop stands at something of an owner's, it is a copy of that or a
    /// part of it, and the owner's too.
    func makeMapping(_ contents: MappingContents) throws(TemplateError) -> Value {
        .mapping(try Mapping(contents, owner: owner))
    }

    func keep(_ loop: LoopState) { if loop.lastSeen == nil { loops.append(loop) } }

    // MARK: Statements

    /// Runs statements one after another.
    func run(_ statements: [Statement], _ frame: Frame) throws(TemplateError) -> Flow {
        try enter()
        for statement in statements {
            let flow = try run(statement, frame)
            if flow != .next {
                leave()
                return flow
            }
        }
        leave()
        return .next
    }

    private func run(_ statement: Statement, _ frame: Frame) throws(TemplateError) -> Flow {
        line = statement.line
        switch statement.kind {
        case .text(let text): try emit(text)
        case .output(let expression): try emit(try value(of: expression, frame).text(budget))
        case .loop(let loop): return try run(loop, frame, level: 0)
        case .branches(let branches, let otherwise):
            for branch in branches where try value(of: branch.condition, frame).isTrue {
                return try run(branch.body, frame)
            }
            return try run(otherwise, frame)
        case .set(let target, let expression): try assign(try value(of: expression, frame), to: target, frame)
        case .setBlock(let target, let filter, let body):
            return try set(target, filter, body, frame)
        case .macro(let macro): frame.values[macro.name] = try makeMacro(macro, frame)
        case .callBlock(let function, let arguments, let body): try call(function, arguments, body, frame)
        case .filterBlock(let filter, let body):
            var flow = Flow.next
            let text = try capture { () throws(TemplateError) in flow = try run(body, Frame(frame)) }
            try emit(try filtered(.text(text), by: filter, frame).text(budget))
            return flow
        case .with(let assignments, let body): return try with(assignments, body, frame)
        case .block(let body, let isScoped): _ = try run(body, Frame(isScoped ? frame : root))
        case .generation(let body): _ = try run(body, Frame(frame))
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        case .otherTemplate(let tag):
            throw TemplateError(.runtime, "'\(tag)' needs other templates, of which there are none")
        }
        return .next
    }

    private func set(
        _ target: Target, _ filter: Expression?, _ body: [Statement], _ frame: Frame
    ) throws(TemplateError) -> Flow {
        var flow = Flow.next
        var text = Value.text(try capture { () throws(TemplateError) in flow = try run(body, Frame(frame)) })
        // A loop that is left from within the block leaves the variable as it was.
        guard flow == .next else { return flow }
        if let filter { text = try filtered(text, by: filter, frame) }
        try assign(text, to: target, frame)
        return .next
    }

    private func with(
        _ assignments: [(Target, Expression)], _ body: [Statement], _ frame: Frame
    ) throws(TemplateError) -> Flow {
        let inner = Frame(frame)
        for (target, expression) in assignments { try assign(try value(of: expression, frame), to: target, inner) }
        return try run(body, inner)
    }

    private func call(
        _ function: Expression, _ arguments: CallSyntax, _ body: MacroSyntax, _ frame: Frame
    ) throws(TemplateError) {
        let callee = try value(of: function, frame)
        var evaluated = try self.arguments(arguments, frame)
        evaluated.named.append(("caller", try makeMacro(body, frame)))
        try emit(try call(callee, evaluated).text(budget))
    }

    /// Runs a loop; `level`: how often it has called itself.
    func run(_ loop: LoopSyntax, _ frame: Frame, items given: Value? = nil, level: Int) throws(TemplateError) -> Flow {
        let source = if let given { given } else { try value(of: loop.items, frame) }
        var items = try source.elements(budget)
        if let condition = loop.condition {
            var chosen: [Value] = []
            for item in items {
                let inner = Frame(frame)
                try assign(item, to: loop.target, inner)
                if try value(of: condition, inner).isTrue { chosen.append(item) }
            }
            items = chosen
        }
        guard !items.isEmpty else { return try run(loop.otherwise, Frame(frame)) }
        let state = try LoopState(items, level: level, recursion: loop.isRecursive ? (loop, frame) : nil)
        let outerOwner = owner
        defer { owner = outerOwner }
        for (index, item) in items.enumerated() {
            state.index = index
            let inner = Frame(frame)
            inner.values["loop"] = .loop(state)
            try assign(item, to: loop.target, inner)
            owner = outerOwner
            if case .mapping(let mapping) = item, mapping.owner != 0 { owner = mapping.owner }
            if try run(loop.body, inner) == .breakLoop { break }
        }
        return .next
    }

    /// Assigns a value to what a template names.
    func assign(_ value: Value, to target: Target, _ frame: Frame) throws(TemplateError) {
        switch target {
        case .name(let name): frame.values[name] = value
        case .attribute(let object, let name):
            guard case .namespace(let namespace)? = frame.find(object) else {
                throw TemplateError(.runtime, "cannot assign attribute on non-namespace object '\(object)'")
            }
            try Self.checkAttribute(name)
            namespace.attributes.set(name, value)
        case .tuple(let targets):
            let items = try value.elements(budget)
            guard items.count == targets.count else {
                throw .type(
                    items.count < targets.count
                        ? "not enough values to unpack (expected \(targets.count), got \(items.count))"
                        : "too many values to unpack (expected \(targets.count))")
            }
            for (target, item) in zip(targets, items) { try assign(item, to: target, frame) }
        }
    }

    static func checkAttribute(_ name: String) throws(TemplateError) {
        guard !name.hasPrefix("_") else {
            throw TemplateError(.security, "a namespace cannot hold '\(name)': its name begins with an underscore")
        }
    }
}
