void winnow_blas_placeholder(void);
