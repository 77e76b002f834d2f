#include "openblas_loader.h"
void winnow_blas_placeholder(void) {}
