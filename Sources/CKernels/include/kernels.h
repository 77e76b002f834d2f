void winnow_kernels_placeholder(void);
