// Which kernels multiply, and how fast they can.

internal import CKernels

extension Precision {
    /// The kernels that multiply in this precision at the level in use (``CPULevel/inUse``), for logs and reports.
    public var kernel: String {
        switch self {
        case .f32: BLAS.problem == nil ? "OpenBLAS \(BLAS.kernel)" : "portable"
        case .bf16:
            OneDNN.serves(.bf16)
                ? oneDNN
                : Kernels.holdsFixed ? "16-bit fixed point" : "bf16 weights, Float32 products"
        case .int8: OneDNN.serves(.int8) ? oneDNN : "int8"
        }
    }

    /// Why products in this precision are slower than they could be, and what to do; nil when they are not.
    public var kernelProblem: String? {
        switch self {
        case .f32: BLAS.problem
        case .bf16, .int8:
            if CPULevel.inUse == .portable, CPULevel.isCapped {
                "the CPU level is capped at portable"
            } else if CPULevel.inUse == .portable {
                "there are vector kernels for x86-64 with AVX2 only"
            } else if OneDNN.hasInstructions, !OneDNN.serves(self) {
                "this CPU multiplies \(rawValue) itself, but "
                    + (OneDNN.problem ?? "\(OneDNN.version ?? "oneDNN") has no kernel for it")
            } else {
                nil
            }
        }
    }

    private var oneDNN: String { "\(OneDNN.version ?? "oneDNN") \(rawValue)" }
}

/// What this machine can do at best: the measure that speeds are held against.
package enum MachinePeak {
    /// Operations per second (a multiplication and an addition count as two) of a large product, 2048 in every
    /// direction, by the fastest of the back ends that multiply in this precision or a wider one.
    package static func operations(_ precision: Precision, pool: ThreadPool) -> Double {
        let size = 2048
        let formats: [Precision] =
            switch precision {
            case .f32: [.f32]
            case .bf16: [.f32, .bf16]
            case .int8: [.int8]
            }
        return formats.map { operations($0, rows: size, outputs: size, inputs: size, pool: pool) }.max() ?? 0
    }

    private static func operations(
        _ precision: Precision, rows: Int, outputs: Int, inputs: Int, pool: ThreadPool
    ) -> Double {
        let sample = ProductSample(precision, rows: rows, outputs: outputs, inputs: inputs, pool: pool)
        let clock = ContinuousClock()
        let best = (0..<5).map { _ in clock.measure { sample.run() } }.min() ?? .zero
        return sample.operations / (best / .seconds(1))
    }

    /// Operations per second of products like a model's, 256 rows by 1024 by 1024, as they are computed in this precision:
    /// the fastest of as many as fit 50 ms, after one that is not counted.
    package static func usualOperations(_ precision: Precision, pool: ThreadPool) -> Double {
        let sample = ProductSample(precision, rows: 256, outputs: 1024, inputs: 1024, pool: pool)
        let clock = ContinuousClock()
        sample.run()
        let end = clock.now + .milliseconds(50)
        var best = Duration.seconds(3600)
        repeat { best = min(best, clock.measure { sample.run() }) } while clock.now < end
        return sample.operations / max(best / .seconds(1), 1e-9)
    }

    /// Bytes per second that the pool's threads read from memory: a product of one row with some hundred MiB of weights, in
    /// the precision that reads them fastest. An operation takes half a weight.
    package static func bytesRead(pool: ThreadPool) -> Double {
        let (outputs, inputs) = (65_536, 2048)
        return [(Precision.f32, 4.0), (.bf16, 2), (.int8, 1)].map { precision, bytes in
            operations(precision, rows: 1, outputs: outputs, inputs: inputs, pool: pool) * bytes / 2
        }.max() ?? 0
    }
}
