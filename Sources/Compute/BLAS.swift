// Matrix products: OpenBLAS where it is installed, own kernels otherwise and for a few rows.

internal import CKernels
internal import COpenBLAS

/// The library behind matrix products.
public enum BLAS {
    /// The kernels that run: OpenBLAS's own word for them ("SkylakeX", "Haswell", ...), or "portable" without it.
    public static let kernel: String = library.pointee.core.map { String(cString: $0) } ?? "portable"

    /// Why OpenBLAS is not used, and what to install; nil when it is.
    public static let problem: String? = library.pointee.problem.map { String(cString: $0) }

    private static var library: UnsafePointer<winnow_openblas> { winnow_openblas_load() }
    private static let sgemm = library.pointee.sgemm

    /// Up to this many rows, reading the weights where they lie beats OpenBLAS's packing of them.
    private static let fewRows = 8

    /// `c = a b^T`, or `c += a b^T`, row-major: `a` is `[m, k]` with rows `lda` apart, `b` `[n, k]`, `c` `[m, n]`, not
    /// read unless `adding`. One thread.
    static func multiplyTransposed(
        rows m: Int, columns n: Int, depth k: Int, _ a: UnsafePointer<Float>, stride lda: Int,
        _ b: UnsafePointer<Float>, stride ldb: Int, adding: Bool, into c: UnsafeMutablePointer<Float>, stride ldc: Int
    ) {
        guard m > 0, n > 0 else { return }
        let beta: Float = adding ? 1 : 0
        if m <= fewRows {
            winnow_sgemm_few(Kernels.level, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
        } else if let sgemm {
            sgemm(
                Int32(winnow_row_major), Int32(winnow_no_transpose), Int32(winnow_transpose), Int32(m), Int32(n),
                Int32(k), 1, a, Int32(lda), b, Int32(ldb), beta, c, Int32(ldc))
        } else {
            winnow_sgemm(Kernels.level, 1, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
        }
    }
}
