// The word that may be meant by one that is not known.

/// Words that differ by a slip of the finger.
public enum NearestWord {
    /// The known word that `word` may be meant for; nil where none is near.
    public static func to(_ word: String, among known: [String]) -> String? {
        if word.count >= 3, let begun = known.first(where: { $0.hasPrefix(word) }) { return begun }
        let nearest = known.map { ($0, distance(word, $0)) }.min { $0.1 < $1.1 }
        guard let nearest, nearest.1 <= max(1, word.count / 3) else { return nil }
        return nearest.0
    }

    /// Letters to insert, drop, change or swap with their neighbour to make one word of the other.
    static func distance(_ first: String, _ second: String) -> Int {
        let (a, b) = (Array(first.prefix(40)), Array(second.prefix(40)))
        var rows = [Array(0...b.count)]
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var best = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
