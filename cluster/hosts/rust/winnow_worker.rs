//! A Winnow worker inside a Rust program: the C interface, and a safe owner around it. See winnow_worker.h.

use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::{fmt, mem, ptr};

/// The version of the interface that the structs below are of.
const ABI_VERSION: u32 = 2;

#[repr(C)]
pub struct RawEvent {
    struct_size: usize,
    kind: i32,
    code: i32,
    stage: i32,
    stage_count: i32,
    first_layer: i32,
    end_layer: i32,
    fraction: f64,
    text: *const c_char,
    layers: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    struct_size: usize,
    pub phase: i32,
    pub stage: i32,
    pub stage_count: i32,
    pub first_layer: i32,
    pub end_layer: i32,
    pub requests: i32,
    pub loaded_fraction: f64,
    pub kv_tokens_used: i64,
    pub kv_tokens: i64,
    pub messages: u64,
    pub rows: u64,
    pub busy_ns: u64,
    pub rows_per_second: f64,
    pub busy_share: f64,
}

type LogCallback = unsafe extern "C" fn(i32, *const c_char, *mut c_void);
type EventCallback = unsafe extern "C" fn(*const RawEvent, *mut c_void);

#[repr(C)]
struct RawConfig {
    struct_size: usize,
    model: *const c_char,
    coordinator: *const c_char,
    listen: *const c_char,
    advertised_host: *const c_char,
    role: i32,
    precision: i32,
    first_layer: i32,
    end_layer: i32,
    threads: i32,
    measures_speed: i32,
    cpus: *const i32,
    cpu_count: usize,
    kv_tokens: i64,
    pipeline: *const c_char,
    weights_cache: *const c_char,
    name: *const c_char,
    key_file: *const c_char,
    insecure: i32,
    log_level: i32,
    on_log: Option<LogCallback>,
    log_user_data: *mut c_void,
    on_event: Option<EventCallback>,
    event_user_data: *mut c_void,
    layers: *const c_char,
}

#[link(name = "winnow_worker")]
extern "C" {
    fn winnow_abi_version() -> u32;
    fn winnow_status_code(status: *const c_void) -> i32;
    fn winnow_status_message(status: *const c_void) -> *const c_char;
    fn winnow_status_release(status: *mut c_void);
    fn winnow_worker_config_init(config: *mut RawConfig, size: usize);
    fn winnow_worker_create(config: *const RawConfig, worker: *mut *mut c_void) -> *mut c_void;
    fn winnow_worker_start(worker: *mut c_void) -> *mut c_void;
    fn winnow_worker_drain(worker: *mut c_void) -> *mut c_void;
    fn winnow_worker_wait(worker: *mut c_void, timeout_ms: i64) -> *mut c_void;
    fn winnow_worker_destroy(worker: *mut c_void) -> *mut c_void;
    fn winnow_worker_descriptor(worker: *mut c_void, descriptor: *mut c_int) -> *mut c_void;
    fn winnow_worker_next_event(worker: *mut c_void, event: *mut RawEvent, is_event: *mut c_int) -> *mut c_void;
    fn winnow_worker_get_snapshot(worker: *mut c_void, snapshot: *mut Snapshot) -> *mut c_void;
}

/// A status that is not WINNOW_OK.
#[derive(Debug, Clone)]
pub struct Error {
    pub code: i32,
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Error {}

fn check(status: *mut c_void) -> Result<(), Error> {
    if status.is_null() {
        return Ok(());
    }
    // SAFETY: the status is ours until it is released, and its message lives as long.
    unsafe {
        let message = CStr::from_ptr(winnow_status_message(status)).to_string_lossy().into_owned();
        let code = winnow_status_code(status);
        winnow_status_release(status);
        Err(Error { code, message })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Stage = 0,
    Speculator = 1,
}

/// What happened to a worker.
#[derive(Debug, Clone)]
pub struct Event {
    pub kind: i32,
    pub code: i32,
    pub stage: i32,
    pub stage_count: i32,
    pub layers: std::ops::Range<i32>,
    pub fraction: f64,
    pub text: String,
    pub layer_span: String,
}

impl Event {
    pub const ENDED: i32 = 9;

    pub fn name(&self) -> &'static str {
        const NAMES: [&str; 10] = [
            "?", "registered", "coordinator_lost", "assigned", "unassigned", "loading", "ready", "fault", "draining",
            "ended",
        ];
        usize::try_from(self.kind).ok().and_then(|kind| NAMES.get(kind)).unwrap_or(&"?")
    }
}

/// A worker; dropping it ends it at once and waits for its threads.
pub struct Worker(*mut c_void);

// SAFETY: every function of the interface may be called from any thread.
unsafe impl Send for Worker {}
unsafe impl Sync for Worker {}

impl Worker {
    pub fn new(role: Role, model: &str, coordinator: &str, name: &str) -> Result<Worker, Error> {
        let text = |value: &str| {
            CString::new(value).map_err(|_| Error { code: 1, message: "a string has a zero byte inside".into() })
        };
        let (model, coordinator, name) = (text(model)?, text(coordinator)?, text(name)?);
        if unsafe { winnow_abi_version() } < ABI_VERSION {
            return Err(Error { code: 3, message: "the winnow_worker library is older than this program".into() });
        }
        // SAFETY: init fills what the size covers; strings outlive the call, which copies them.
        unsafe {
            let mut config = mem::zeroed::<RawConfig>();
            winnow_worker_config_init(&mut config, mem::size_of::<RawConfig>());
            config.role = role as i32;
            config.model = model.as_ptr();
            config.coordinator = coordinator.as_ptr();
            config.name = name.as_ptr();
            let mut worker = ptr::null_mut();
            check(winnow_worker_create(&config, &mut worker))?;
            Ok(Worker(worker))
        }
    }

    pub fn start(&self) -> Result<(), Error> {
        check(unsafe { winnow_worker_start(self.0) })
    }

    pub fn drain(&self) -> Result<(), Error> {
        check(unsafe { winnow_worker_drain(self.0) })
    }

    /// Waits for its end, which is an error unless it was in order.
    pub fn wait(&self) -> Result<(), Error> {
        check(unsafe { winnow_worker_wait(self.0, -1) })
    }

    /// Readable while events wait.
    pub fn descriptor(&self) -> Result<c_int, Error> {
        let mut descriptor = -1;
        check(unsafe { winnow_worker_descriptor(self.0, &mut descriptor) })?;
        Ok(descriptor)
    }

    /// Takes `&mut self`: the text of an event lives until the next is taken.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        // SAFETY: all fields may be zero; the text is copied before another event is taken.
        unsafe {
            let mut raw = mem::zeroed::<RawEvent>();
            raw.struct_size = mem::size_of::<RawEvent>();
            let mut is_event = 0;
            check(winnow_worker_next_event(self.0, &mut raw, &mut is_event))?;
            if is_event == 0 {
                return Ok(None);
            }
            Ok(Some(Event {
                kind: raw.kind,
                code: raw.code,
                stage: raw.stage,
                stage_count: raw.stage_count,
                layers: raw.first_layer..raw.end_layer,
                fraction: raw.fraction,
                text: CStr::from_ptr(raw.text).to_string_lossy().into_owned(),
                layer_span: CStr::from_ptr(raw.layers).to_string_lossy().into_owned(),
            }))
        }
    }

    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        let mut snapshot = Snapshot { struct_size: mem::size_of::<Snapshot>(), ..Snapshot::default() };
        check(unsafe { winnow_worker_get_snapshot(self.0, &mut snapshot) })?;
        Ok(snapshot)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        unsafe { winnow_status_release(winnow_worker_destroy(self.0)) }
    }
}
