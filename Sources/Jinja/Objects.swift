// Values that a rendering makes itself: functions, loops, and the scopes they hold on to.

/// Something that can be called.
public final class Function {
    enum Kind {
        /// One of Jinja's or transformers' own.
        case global(String)
        /// A method of a value.
        case method(Value, String)
        case macro(MacroSyntax, Frame)
        /// `cycler(...)`: gives its values in turn.
        case cycler([Value])
        /// `joiner(...)`: gives nothing at first, then always its text.
        case joiner(Value)
    }

    let kind: Kind
    let depth: Int
    /// How often a cycler or joiner was asked.
    var turn = 0

    init(_ kind: Kind) throws(TemplateError) {
        self.kind = kind
        switch kind {
        case .global, .macro: depth = 0
        case .method(let value, _), .joiner(let value): depth = try Value.depth(over: [value])
        case .cycler(let values): depth = try Value.depth(over: values)
        }
    }

    var typeName: String {
        switch kind {
        case .global("dict"): "TemplateDict"
        case .global: "function"
        case .method: "builtin_function_or_method"
        case .macro: "Macro"
        case .cycler: "Cycler"
        case .joiner: "Joiner"
        }
    }
}

/// Variables of one scope; what it lacks is looked up in the scope around it.
final class Frame {
    var values: [String: Value] = [:]
    let parent: Frame?

    init(_ parent: Frame?) {
        self.parent = parent
    }

    func find(_ name: String) -> Value? {
        var frame: Frame? = self
        while let current = frame {
            if let value = current.values[name] { return value }
            frame = current.parent
        }
        return nil
    }
}

/// What `loop` is inside a loop.
public final class LoopState {
    let items: [Value]
    var index = 0
    let level: Int
    let depth: Int
    /// The loop and the scope around it, where it may call itself.
    let recursion: (loop: LoopSyntax, frame: Frame)?
    /// What `loop.changed` was asked last.
    var lastSeen: [Value]?

    init(_ items: [Value], level: Int, recursion: (loop: LoopSyntax, frame: Frame)?) throws(TemplateError) {
        self.items = items
        self.level = level
        self.recursion = recursion
        depth = try Value.depth(over: items)
    }

    /// An attribute that is no method.
    func attribute(_ name: String) -> Value? {
        switch name {
        case "index": .integer(index + 1)
        case "index0": .integer(index)
        case "revindex": .integer(items.count - index)
        case "revindex0": .integer(items.count - index - 1)
        case "first": .boolean(index == 0)
        case "last": .boolean(index == items.count - 1)
        case "length": .integer(items.count)
        case "depth": .integer(level + 1)
        case "depth0": .integer(level)
        case "previtem": index > 0 ? items[index - 1] : .undefined(.hint("there is no previous item"))
        case "nextitem":
            index + 1 < items.count ? items[index + 1] : .undefined(.hint("there is no next item"))
        default: nil
        }
    }
}
