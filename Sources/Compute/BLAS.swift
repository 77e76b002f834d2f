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

    /// `c = alpha a op(b) + beta c`, row-major: `a` is `[m, k]` with rows `lda` apart; `op(b)` is `b` `[k, n]`, or the
    /// transpose of `b` `[n, k]`; `c` is `[m, n]` and not read if `beta` is 0. One thread.
    static func multiply(
        rows m: Int, columns n: Int, depth k: Int, alpha: Float = 1, _ a: UnsafePointer<Float>, stride lda: Int,
        _ b: UnsafePointer<Float>, stride ldb: Int, transposed: Bool, beta: Float = 0,
        into c: UnsafeMutablePointer<Float>, stride ldc: Int
    ) {
        guard m > 0, n > 0 else { return }
        if transposed, m <= fewRows {
            winnow_sgemm_few(Kernels.level, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
        } else if let sgemm {
            sgemm(
                Int32(winnow_row_major), Int32(winnow_no_transpose),
                Int32(transposed ? winnow_transpose : winnow_no_transpose), Int32(m), Int32(n), Int32(k),
                alpha, a, Int32(lda), b, Int32(ldb), beta, c, Int32(ldc))
        } else {
            winnow_sgemm(Kernels.level, transposed ? 1 : 0, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
        }
    }
}
