// A model of hashes: what comes out depends on every token, position and layer, and on nothing else.

import Coordinator
import Speculation
import Transformer
import Wire

/// Values that a wrong token, row, layer or order anywhere would change.
enum Arithmetic {
    static let layers = 6
    static let vocabulary = 1000

    static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
        var x = a &* 0x9E37_79B9_7F4A_7C15 ^ b
        x ^= x >> 29
        x = x &* 0xBF58_476D_1CE4_E5B9
        return x ^ x >> 32
    }

    static func embed(_ token: Int32, _ position: Int32) -> UInt64 { mix(UInt64(token) + 1, UInt64(position) + 77) }

    /// What each half of a layer costs: such that pipelines are cut within layers.
    static let work = (0..<2 * layers).map { $0 == 2 * layers - 1 ? 0.1 : $0 % 2 == 0 ? 1.0 : 2.0 }

    /// A row through half of a layer; an attention's KV cache is `cache`, the sum of all rows so far.
    static func sublayer(_ number: Int, _ row: UInt64, cache: inout UInt64) -> UInt64 {
        guard number % 2 == 0 else { return mix(row, UInt64(number)) }
        cache = mix(cache, row)
        return mix(row &+ cache, UInt64(number))
    }

    static func token(_ row: UInt64, seed: UInt64, step: Int) -> Int32 {
        Int32(mix(mix(row, seed), UInt64(step)) % UInt64(vocabulary))
    }

    static func importance(_ prompt: [Int32]) -> [Float] {
        prompt.enumerated().map { Float(mix(UInt64($1), UInt64($0)) % 1000) / 1000 }
    }

    /// The answer of one process that nothing ever happens to.
    static func answer(_ request: GenerationRequest, kept: [Int32], ends: Set<Int32>) -> [Int32] {
        var caches = [UInt64](repeating: 0, count: 2 * layers)
        func forward(_ token: Int32, _ position: Int32) -> UInt64 {
            var row = embed(token, position)
            for number in 0..<2 * layers { row = sublayer(number, row, cache: &caches[number]) }
            return row
        }
        var row: UInt64 = 0
        for position in kept { row = forward(request.prompt[Int(position)], position) }
        var tokens: [Int32] = []
        while tokens.count < request.maxTokens {
            let next = token(row, seed: request.sampling.seed, step: tokens.count)
            if ends.contains(next) { break }
            tokens.append(next)
            row = forward(next, Int32(request.prompt.count + tokens.count - 1))
        }
        return tokens
    }
}
