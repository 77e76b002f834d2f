//! A worker in a Rust program: `host stage|speculator MODEL COORDINATOR`.
//!
//! Prints one line an event. SIGTERM or SIGINT drains. Exit status 0: the worker ended in order.
//!
//!     rustc --edition 2021 -O host.rs $(pkg-config --libs-only-L winnow_worker) -o host

mod winnow_worker;

use std::ffi::{c_int, c_short, c_ulong};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use winnow_worker::{Error, Event, Role, Worker};

#[repr(C)]
struct PollDescriptor {
    fd: c_int,
    events: c_short,
    revents: c_short,
}

extern "C" {
    fn poll(descriptors: *mut PollDescriptor, count: c_ulong, timeout: c_int) -> c_int;
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
}

static ASKED: AtomicBool = AtomicBool::new(false);

extern "C" fn ask(_: c_int) {
    ASKED.store(true, Ordering::Relaxed);
}

fn run(role: Role, model: &str, coordinator: &str) -> Result<(), Error> {
    let mut worker = Worker::new(role, model, coordinator, "rust")?;
    worker.start()?;
    let mut watched = PollDescriptor { fd: worker.descriptor()?, events: 1, revents: 0 };
    loop {
        // A signal may go to any thread, so it is looked for now and then.
        unsafe { poll(&mut watched, 1, 100) };
        if ASKED.swap(false, Ordering::Relaxed) {
            worker.drain()?;
        }
        while let Some(event) = worker.next_event()? {
            println!("0 {} {}", event.name(), event.text);
            let _ = std::io::stdout().flush();
            if event.kind == Event::ENDED {
                eprintln!("host: {} rows computed", worker.snapshot()?.rows);
                return worker.wait();
            }
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let role = match words.get(1).map(String::as_str) {
        Some("stage") => Role::Stage,
        Some("speculator") => Role::Speculator,
        _ => {
            eprintln!("usage: host stage|speculator MODEL COORDINATOR");
            std::process::exit(64);
        }
    };
    for number in [2, 15] {
        unsafe { signal(number, ask) };
    }
    if words.len() != 4 {
        eprintln!("usage: host stage|speculator MODEL COORDINATOR");
        std::process::exit(64);
    }
    if let Err(error) = run(role, &words[2], &words[3]) {
        eprintln!("host: {error}");
        std::process::exit(1);
    }
}
