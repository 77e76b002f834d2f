#include <zmq.h>
// Swift's Glibc module lacks eventfd, which wakes a thread that polls sockets.
#include <sys/eventfd.h>
