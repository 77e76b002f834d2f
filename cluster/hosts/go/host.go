// A worker in a Go program: `host stage|speculator MODEL COORDINATOR`.
//
// Prints one line an event. SIGTERM or SIGINT drains. Exit status 0: the worker ended in order.
package main

// #cgo pkg-config: winnow_worker
// #include <stdlib.h>
// #include <winnow_worker.h>
import "C"

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"unsafe"
)

// A status that is not WINNOW_OK.
type workerError struct {
	code    int
	message string
}

func (e workerError) Error() string { return fmt.Sprintf("%s (%d)", e.message, e.code) }

func check(status *C.winnow_status) error {
	if status == nil {
		return nil
	}
	defer C.winnow_status_release(status)
	return workerError{int(C.winnow_status_code(status)), C.GoString(C.winnow_status_message(status))}
}

var kinds = []string{
	"?", "registered", "coordinator_lost", "assigned", "unassigned", "loading", "ready", "fault", "draining", "ended",
}

// Prints events until the last. The descriptor could be polled too; one goroutine that waits is the way of Go.
func run(role C.winnow_role, model, coordinator string) error {
	if C.winnow_abi_version() < C.WINNOW_WORKER_ABI_VERSION {
		return workerError{C.WINNOW_MISUSE, "the winnow_worker library is older than this program"}
	}
	var config C.winnow_worker_config
	C.winnow_worker_config_init(&config, C.sizeof_winnow_worker_config)
	config.role = role
	config.model = C.CString(model)
	config.coordinator = C.CString(coordinator)
	config.name = C.CString("go")
	defer C.free(unsafe.Pointer(config.model))
	defer C.free(unsafe.Pointer(config.coordinator))
	defer C.free(unsafe.Pointer(config.name))
	var worker *C.winnow_worker
	if err := check(C.winnow_worker_create(&config, &worker)); err != nil {
		return err
	}
	defer func() { _ = check(C.winnow_worker_destroy(worker)) }()
	if err := check(C.winnow_worker_start(worker)); err != nil {
		return err
	}
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, os.Interrupt)
	go func() {
		for range ends {
			_ = check(C.winnow_worker_drain(worker))
		}
	}()
	var descriptor C.int
	if err := check(C.winnow_worker_descriptor(worker, &descriptor)); err != nil {
		return err
	}
	for {
		var ready syscall.FdSet
		ready.Bits[descriptor/64] |= 1 << (uint(descriptor) % 64)
		if _, err := syscall.Select(int(descriptor)+1, &ready, nil, nil, nil); err != nil {
			continue // interrupted
		}
		for {
			var event C.winnow_event
			var isEvent C.int
			event.struct_size = C.sizeof_winnow_event
			if err := check(C.winnow_worker_next_event(worker, &event, &isEvent)); err != nil {
				return err
			}
			if isEvent == 0 {
				break
			}
			fmt.Println(0, kinds[event.kind], C.GoString(event.text))
			if event.kind == C.WINNOW_EVENT_ENDED {
				return check(C.winnow_worker_wait(worker, -1))
			}
		}
	}
}

func main() {
	roles := map[string]C.winnow_role{"stage": C.WINNOW_ROLE_STAGE, "speculator": C.WINNOW_ROLE_SPECULATOR}
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: host stage|speculator MODEL COORDINATOR")
		os.Exit(64)
	}
	role, known := roles[os.Args[1]]
	if !known {
		fmt.Fprintln(os.Stderr, "usage: host stage|speculator MODEL COORDINATOR")
		os.Exit(64)
	}
	if err := run(role, os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "host:", err)
		os.Exit(1)
	}
}
