// The cache of packed weights: what is read is what was written, or nothing.

import Checkpoint
import Compute
import Foundation
import Testing

@Suite struct WeightsCacheTests {
    private let pool = ThreadPool(threads: 3, name: "cache")

    /// Rows that depend on their place and the seed.
    private func linear(seed: Int = 1, outputs: Int = 200, inputs: Int = 130, threads: Int = 2) -> Linear {
        Linear(
            outputs: outputs, inputs: inputs, precision: .int8, pool: ThreadPool(threads: threads, name: "pack")
        ) { range, buffer in
            for (place, row) in range.enumerated() {
                for column in 0..<inputs {
                    buffer[place * inputs + column] = Float((row * 31 + column * 7 + seed) % 101) - 50
                }
            }
        }
    }

    private func bytes(_ linear: Linear) throws -> [[UInt8]] {
        try #require(linear.memory).sections.map { $0.flatMap { Array($0) } }
    }

    /// Reads weights of the same shape back; nil if the cache has none.
    private func read(
        _ cache: WeightsCache, _ key: WeightsKey, outputs: Int = 200, inputs: Int = 130, threads: Int = 2
    ) throws -> [[UInt8]]? {
        try Linear(
            outputs: outputs, inputs: inputs, precision: .int8, pool: ThreadPool(threads: threads, name: "read"),
            fill: { cache.fill($0, key, pool: pool) }
        ).map(bytes)
    }

    private func keep(_ cache: WeightsCache, _ linear: Linear, _ key: WeightsKey) throws {
        try withExtendedLifetime(linear) {
            cache.note(try #require(linear.memory), key)
            cache.writeNotes()
            cache.drain()
        }
    }

    private func files(_ directory: TemporaryDirectory) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    }

    @Test(arguments: [1, 2, 5]) func whatWasKeptIsRead(threads: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/a/b"
        let weights = linear()
        try keep(WeightsCache(directory: path), weights, WeightsKey(["one"]))
        let other = WeightsCache(directory: path)
        // However many threads the next process has: the bytes are the same, cut otherwise.
        #expect(
            try read(other, WeightsKey(["one"]), threads: threads)?.map { $0.count } == bytes(weights).map { $0.count })
        #expect(try read(other, WeightsKey(["one"]), threads: threads) == bytes(weights))
        #expect(try read(other, WeightsKey(["other"])) == nil)
        #expect(other.use == WeightsCache.Use(read: 2, packed: 0, kept: 0, problem: nil))
        let rights = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(rights == 0o700)
    }

    @Test func weightsThatAreGoneAreNotKept() throws {
        let directory = try TemporaryDirectory()
        let cache = WeightsCache(directory: directory.path)
        func note() throws { cache.note(try #require(linear().memory), WeightsKey(["gone"])) }
        try note()
        cache.writeNotes()
        cache.drain()
        #expect(try files(directory).isEmpty)
        #expect(cache.use == WeightsCache.Use(read: 0, packed: 1, kept: 0, problem: nil))
    }

    /// A byte changed anywhere, bytes exchanged, bytes missing or too many: found, removed, and packed again.
    @Test func damageIsFound() throws {
        let directory = try TemporaryDirectory()
        let (weights, key) = (linear(), WeightsKey(["one"]))
        try keep(WeightsCache(directory: directory.path), weights, key)
        let name = try #require(files(directory).first)
        let file = URL(fileURLWithPath: "\(directory.path)/\(name)")
        let good = try Data(contentsOf: file)
        var damaged: [Data] = [Data(), good.dropLast(), good + [0], Data(count: good.count)]
        for offset in [0, 20, 60, 4096, 4097, 5000, good.count / 2, good.count - 1] {
            var data = good
            data[offset] ^= 0x10
            damaged.append(data)
        }
        var data = good
        (data[4096], data[4096 + 512]) = (data[4096 + 512], data[4096])
        (data[4096 + 64], data[4096 + 3 * 64]) = (data[4096 + 3 * 64] &+ 1, data[4096 + 64] &- 1)
        damaged.append(data)
        for data in damaged {
            try data.write(to: file)
            let cache = WeightsCache(directory: directory.path)
            #expect(try read(cache, key) == nil)
            #expect(cache.use.problem?.contains(name) == true)
            #expect(try files(directory).isEmpty)
        }
        // Another's file under this name.
        try keep(WeightsCache(directory: directory.path), linear(seed: 2), WeightsKey(["two"]))
        try FileManager.default.moveItem(
            atPath: "\(directory.path)/\(try #require(files(directory).first))", toPath: file.path)
        #expect(try read(WeightsCache(directory: directory.path), key) == nil)
    }

    @Test func filesThatOthersCouldHaveWrittenAreNotTaken() throws {
        let directory = try TemporaryDirectory()
        let (weights, key) = (linear(), WeightsKey(["one"]))
        let cache = WeightsCache(directory: directory.path)
        func name() throws -> String {
            try keep(cache, weights, key)
            return "\(directory.path)/\(try #require(files(directory).first))"
        }
        for rights in [0o620, 0o602] {
            try FileManager.default.setAttributes([.posixPermissions: rights], ofItemAtPath: name())
            #expect(try read(cache, key) == nil)
        }
        let (path, elsewhere) = (try name(), directory.path + "/elsewhere")
        try FileManager.default.moveItem(atPath: path, toPath: elsewhere)
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: elsewhere)
        #expect(try read(cache, key) == nil)
        #expect(try files(directory) == ["elsewhere"])
        // Something that would never end.
        #expect(mkfifo(path, 0o600) == 0)
        #expect(try read(cache, key) == nil)
    }

    /// The least lately used of other processes make room; what this process needs stays.
    @Test func theCacheIsBounded() throws {
        let directory = try TemporaryDirectory()
        let weights = linear()
        let size = 4096 + (try #require(weights.memory).byteCount)
        let first = WeightsCache(directory: directory.path, mostBytes: 3 * size)
        for word in ["one", "two", "three"] { try keep(first, weights, WeightsKey([word])) }
        #expect(try files(directory).count == 3 && first.use.kept == 3)
        try keep(first, weights, WeightsKey(["four"]))
        #expect(try files(directory).count == 3 && first.use.problem?.contains("no room") == true)

        // "two" was used longest ago.
        for (age, word) in ["three", "one", "two"].enumerated() {
            let name = Digest.text(Array(WeightsKey([word]).bytes.prefix(20))) + ".weights"
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSinceNow: -1000 * Double(age + 1))],
                ofItemAtPath: "\(directory.path)/\(name)")
        }
        let left = directory.path + "/.x.weights.1.2.partial"
        try Data(count: 9).write(to: URL(fileURLWithPath: left))
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSinceNow: -7200)], ofItemAtPath: left)
        let second = WeightsCache(directory: directory.path, mostBytes: 3 * size)
        #expect(try read(second, WeightsKey(["one"])) != nil)
        try keep(second, weights, WeightsKey(["four"]))
        #expect(try files(directory).count == 3 && !FileManager.default.fileExists(atPath: left))
        let third = WeightsCache(directory: directory.path, mostBytes: 3 * size)
        #expect(try read(third, WeightsKey(["two"])) == nil)
        for word in ["one", "three", "four"] { #expect(try read(third, WeightsKey([word])) != nil, "\(word)") }
    }

    @Test func whereNothingCanBeWrittenNothingIsKept() throws {
        let directory = try TemporaryDirectory()
        try Data().write(to: URL(fileURLWithPath: directory.path + "/file"))
        let cache = WeightsCache(directory: directory.path + "/file/cache")
        try keep(cache, linear(), WeightsKey(["one"]))
        #expect(try cache.use.problem?.contains("cannot make") == true && read(cache, WeightsKey(["one"])) == nil)
    }

    /// Whatever decides on the bytes is in the key.
    @Test func keysTellWeightsApart() throws {
        let directory = try smallModel()
        let checkpoint = try Checkpoint(path: directory.path)
        let layer = TensorLayout(checkpoint.configuration).layer(0)
        func key(_ checkpoint: Checkpoint, _ tensors: [TensorLayout.Tensor], _ factors: [Float]?, _ layout: String)
            throws
            -> WeightsKey
        { try checkpoint.weightsKey(tensors, factors: factors, layout: layout) }
        let one = try key(checkpoint, [layer.gate, layer.up], nil, "a")
        #expect(try key(Checkpoint(path: directory.path), [layer.gate, layer.up], nil, "a") == one)
        var others = [
            try key(checkpoint, [layer.gate, layer.up], nil, "b"),
            try key(checkpoint, [layer.up, layer.gate], nil, "a"),
            try key(checkpoint, [layer.gate], nil, "a"), try key(checkpoint, [layer.gate, layer.up], [1], "a"),
            try key(checkpoint, [layer.gate, layer.up], [2], "a"),
        ]
        // A byte that the fingerprint may not see.
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSinceNow: -5)], ofItemAtPath: directory.path + "/model.safetensors")
        others.append(try key(Checkpoint(path: directory.path), [layer.gate, layer.up], nil, "a"))
        #expect(Set(others + [one]).count == others.count + 1)
    }

    /// Sums of parts in any order are the sum of the whole.
    @Test func sumsAddUp() {
        var state: UInt64 = 5
        let bytes = (0..<64 * 37 + 11).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1
            return UInt8(truncatingIfNeeded: state >> 33)
        }
        func sum(_ cuts: [Int], _ bytes: [UInt8]) -> WeightSum {
            var sum = WeightSum()
            bytes.withUnsafeBytes { all in
                for (start, end) in zip([0] + cuts, cuts + [bytes.count]).reversed() {
                    var part = WeightSum()
                    part.add(UnsafeRawBufferPointer(rebasing: all[start..<end]), at: start)
                    sum.add(part)
                }
            }
            return sum
        }
        let whole = sum([], bytes)
        for cuts in [[64], [128, 640], Array(stride(from: 64, through: 64 * 37, by: 64))] {
            #expect(sum(cuts, bytes) == whole)
        }
        for index in stride(from: 0, to: bytes.count - 64, by: 5) {
            var other = bytes
            other[index] ^= 1
            #expect(sum([], other) != whole)
            other = bytes
            other.swapAt(index, index + 64)
            #expect(sum([], other) != whole || bytes[index] == bytes[index + 64])
        }
    }

    @Test func theDefaultIsInTheUsersCache() {
        func directory(_ environment: [String: String]) -> String? {
            WeightsCache.defaultDirectory(environment: environment)
        }
        #expect(directory(["XDG_CACHE_HOME": "/c", "HOME": "/h"]) == "/c/winnow/weights")
        #expect(directory(["XDG_CACHE_HOME": "c", "HOME": "/h"]) == "/h/.cache/winnow/weights")
        #expect(directory(["HOME": "/h"]) == "/h/.cache/winnow/weights")
        #expect(directory([:]) == nil && directory(["HOME": ""]) == nil)
    }
}
