// Builds text piece by piece, within a budget.

/// Collects pieces with their origins.
struct TextBuilder {
    private(set) var bytes: [UInt8] = []
    private(set) var runs: [OriginRun] = []
    private let budget: Budget

    init(_ budget: Budget) {
        self.budget = budget
    }

    /// Adds a text. `owner`: whose the template's words in it become; 0 leaves them as they are.
    mutating func append(_ text: Text, owner: UInt32 = 0) throws(TemplateError) {
        try budget.spend(bytes: bytes.count + text.bytes.count, fresh: text.bytes.count)
        let start = bytes.count
        bytes.append(contentsOf: text.bytes)
        for run in text.runs {
            var origin = run.origin
            if origin.owner == 0, !origin.isInput { origin.owner = owner }
            runs.extend(to: start + run.end, origin)
        }
    }

    /// Adds a part of a text.
    mutating func append(_ text: Text, _ range: Range<Int>) throws(TemplateError) {
        if range.isEmpty { return }
        guard text.mixed.isEmpty else { return try append(text.slice(range)) }
        try budget.spend(bytes: bytes.count + range.count, fresh: range.count)
        bytes.append(contentsOf: text.bytes[range])
        runs.extend(to: bytes.count, text.origin)
    }

    /// Adds words of the template's, or of another origin.
    mutating func append(_ text: String, origin: Origin = .template) throws(TemplateError) {
        try budget.spend(bytes: bytes.count + text.utf8.count, fresh: text.utf8.count)
        bytes.append(contentsOf: text.utf8)
        runs.extend(to: bytes.count, origin)
    }

    /// Adds `count` copies of a text.
    mutating func append(_ text: Text, count: Int) throws(TemplateError) {
        guard count > 0, !text.isEmpty else { return }
        let (total, overflow) = text.bytes.count.multipliedReportingOverflow(by: count)
        guard !overflow else { throw TemplateError(.limit, "a text repeated \(count) times is too long") }
        try budget.spend(bytes: bytes.count + total, fresh: total)
        for _ in 0..<count { bytes.append(contentsOf: text.bytes) }
        if text.mixed.isEmpty {
            runs.extend(to: bytes.count, text.origin)
        } else {
            try budget.spend(text.mixed.count * count)
            let start = bytes.count - total
            for copy in 0..<count {
                for run in text.mixed { runs.extend(to: start + copy * text.bytes.count + run.end, run.origin) }
            }
        }
    }

    /// The text.
    var text: Text { Text(bytes, mixed: runs, origin: .template) }

    /// The text, in which the template's words between words that have an owner go to that owner: what closes a
    /// message's own words belongs to the message, and what stands before them too.
    var adopted: Text {
        guard runs.count > 1 else { return text }
        var runs = runs
        for index in runs.indices where runs[index].origin == .template {
            if index > 0, runs[index - 1].origin.isInput {
                runs[index].origin.owner = runs[index - 1].origin.owner
            } else if index + 1 < runs.count {
                runs[index].origin.owner = runs[index + 1].origin.owner
            }
        }
        var joined: [OriginRun] = []
        for run in runs { joined.extend(to: run.end, run.origin) }
        return Text(bytes, mixed: joined, origin: .template)
    }
}

extension Budget {
    /// Takes the steps for `count` new bytes of a text that then has `total`.
    func spend(bytes total: Int, fresh count: Int) throws(TemplateError) {
        guard total <= textBytes else {
            throw TemplateError(.limit, "a text of \(total) bytes, at most \(textBytes) are accepted")
        }
        try spend(1 + count >> 5)
    }
}
