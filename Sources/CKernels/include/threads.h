// What the C library offers threads only as GNU extensions.
#ifndef WINNOW_THREADS_H
#define WINNOW_THREADS_H

// Names the calling thread; only the first 15 bytes are kept.
void winnow_thread_name(const char *name);

// Keeps the calling thread on one CPU. Returns 0, or an errno value.
int winnow_thread_pin(int cpu);

// Keeps every thread the process has, and so all that they start, on some CPUs. 0, or an errno value.
int winnow_process_pin(const int *cpus, int count);

// Tells the CPU that this is a spin loop.
void winnow_thread_pause(void);

#endif
