// The cap on the instruction set: it holds in this process, for the libraries too.

import Compute
import Foundation
import Testing

@Suite struct CPULevelTests {
    @Test func theEnvironmentIsObeyed() throws {
        // A run that names a level this CPU lacks, or none at all, must not pass as a run at that level.
        try CPULevel.cap(at: nil)
        guard let word = ProcessInfo.processInfo.environment[CPULevel.variable], !word.isEmpty else {
            #expect(CPULevel.inUse == .best && !CPULevel.isCapped)
            return
        }
        #expect(CPULevel.inUse.rawValue == word && CPULevel.isCapped)
    }

    @Test func levelsAreOrdered() {
        #expect(CPULevel.allCases == CPULevel.allCases.sorted() && CPULevel.possible.last == .best)
        #expect(CPULevel.possible.first == .portable && CPULevel.possible.contains(CPULevel.inUse))
    }

    @Test func aSettledLevelStays() throws {
        try CPULevel.cap(at: CPULevel.inUse)
        for level in CPULevel.allCases where level != CPULevel.inUse {
            #expect(throws: CPULevelError.self) { try CPULevel.cap(at: level) }
        }
    }

    @Test func everyLibraryIsHeldToIt() {
        let level = CPULevel.inUse
        // oneDNN multiplies what there are instructions for, and nothing else.
        #expect(level >= .avx512bf16 || !Precision.bf16.kernel.contains("oneDNN"))
        #expect(level >= .avx512vnni || !Precision.int8.kernel.contains("oneDNN"))
        #expect(Precision.automatic == (level == .portable ? .f32 : .bf16))
        if CPULevel.isCapped, BLAS.problem == nil {
            #expect(BLAS.kernel == (level >= .avx512 ? "SkylakeX" : level >= .avx2 ? "Haswell" : "Prescott"))
        }
    }
}
