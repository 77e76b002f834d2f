#include "kernels.h"
void winnow_kernels_placeholder(void) {}
