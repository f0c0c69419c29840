//! What the host lends to a stage: services (log, clock, metrics) and, during a call, its `out`.
//!
//! Both are a pointer and a table of functions. The host implements the safe traits [`HostApi`]
//! and [`OutApi`]; the tables are made here.

use std::{ffi::c_void, marker::PhantomData, panic::AssertUnwindSafe, ptr, sync::OnceLock};

use abi_stable::{
    StableAbi,
    prefix_type::PrefixTypeTrait,
    std_types::{RSlice, RStr},
};

use super::batch::RawBatch;

/// Levels of [`HostApi::log`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Something failed.
    Error = 1,
    /// Something that deserves attention.
    Warn = 2,
    /// What a user wants to know.
    Info = 3,
    /// What an author wants to know.
    Debug = 4,
}

impl Level {
    fn from_u32(n: u32) -> Self {
        match n {
            1 => Self::Error,
            2 => Self::Warn,
            3 => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// How a metric is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum MetricKind {
    /// A sum to which values are added.
    Counter = 1,
    /// A value that replaces the one before.
    Gauge = 2,
}

/// Services of the host for one stage. Called from any thread, for as long as the process lives.
pub trait HostApi: Send + Sync {
    /// Writes a line to the log.
    fn log(&self, level: Level, message: &str);
    /// Wall clock of the host, microseconds since 1970.
    fn now_us(&self) -> i64;
    /// Monotonic clock, nanoseconds.
    fn monotonic_ns(&self) -> u64;
    /// Sleeps until the monotonic clock says so; false: cancelled before.
    fn sleep_until(&self, monotonic_ns: u64) -> bool;
    /// Whether the stage is asked to stop.
    fn cancelled(&self) -> bool;
    /// Asks for a checkpoint soon.
    fn request_checkpoint(&self);
    /// Adds to or sets a metric of the stage.
    fn metric(&self, name: &str, kind: MetricKind, value: f64);
}

/// Table behind [`HostServices`]. Appended to, never changed.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostVt_Ref)))]
#[sabi(missing_field(panic))]
pub struct HostVt {
    log: extern "C" fn(*const c_void, u32, RStr<'_>),
    now_us: extern "C" fn(*const c_void) -> i64,
    monotonic_ns: extern "C" fn(*const c_void) -> u64,
    sleep_until: extern "C" fn(*const c_void, u64) -> bool,
    cancelled: extern "C" fn(*const c_void) -> bool,
    request_checkpoint: extern "C" fn(*const c_void),
    metric: extern "C" fn(*const c_void, RStr<'_>, u32, f64),
    #[sabi(last_prefix_field)]
    extension: extern "C" fn(*const c_void, RStr<'_>) -> *const c_void,
}

/// Services of the host, as they cross the boundary.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct HostServices {
    ctx: *const c_void,
    vt: HostVt_Ref,
}

// SAFETY: the context is a `&'static dyn HostApi`, which is Send and Sync.
unsafe impl Send for HostServices {}
// SAFETY: as above.
unsafe impl Sync for HostServices {}

type HostCtx = &'static dyn HostApi;

/// Runs a service so that a panic of it never crosses the boundary.
fn guarded<R>(fallback: R, f: impl FnOnce() -> R) -> R {
    match std::panic::catch_unwind(AssertUnwindSafe(f)) {
        Ok(r) => r,
        Err(payload) => {
            std::mem::forget(payload);
            fallback
        }
    }
}

/// # Safety
/// `ctx` must come from [`HostServices::new`].
unsafe fn host(ctx: *const c_void) -> HostCtx {
    // SAFETY: by contract `ctx` points at a leaked `HostCtx`.
    unsafe { *ctx.cast::<HostCtx>() }
}

extern "C" fn host_log(ctx: *const c_void, level: u32, message: RStr<'_>) {
    // SAFETY: the table is only ever paired with a context of `HostServices::new`.
    guarded((), || {
        // SAFETY: the table is only ever paired with a context of `HostServices::new`.
        unsafe { host(ctx) }.log(Level::from_u32(level), message.as_str())
    });
}
extern "C" fn host_now_us(ctx: *const c_void) -> i64 {
    // SAFETY: see host_log.
    guarded(0, || unsafe { host(ctx) }.now_us())
}
extern "C" fn host_monotonic_ns(ctx: *const c_void) -> u64 {
    // SAFETY: see host_log.
    guarded(0, || unsafe { host(ctx) }.monotonic_ns())
}
extern "C" fn host_sleep_until(ctx: *const c_void, until: u64) -> bool {
    // SAFETY: see host_log.
    guarded(false, || unsafe { host(ctx) }.sleep_until(until))
}
extern "C" fn host_cancelled(ctx: *const c_void) -> bool {
    // SAFETY: see host_log.
    guarded(true, || unsafe { host(ctx) }.cancelled())
}
extern "C" fn host_request_checkpoint(ctx: *const c_void) {
    // SAFETY: see host_log.
    guarded((), || unsafe { host(ctx) }.request_checkpoint());
}
extern "C" fn host_metric(ctx: *const c_void, name: RStr<'_>, kind: u32, value: f64) {
    let kind = if kind == MetricKind::Counter as u32 {
        MetricKind::Counter
    } else {
        MetricKind::Gauge
    };
    // SAFETY: see host_log.
    guarded((), || {
        // SAFETY: the table is only ever paired with a context of `HostServices::new`.
        unsafe { host(ctx) }.metric(name.as_str(), kind, value)
    });
}
extern "C" fn host_extension(_: *const c_void, _: RStr<'_>) -> *const c_void {
    ptr::null()
}

impl HostServices {
    /// Lends services to a stage. The small context is never freed: it must outlive every thread
    /// that a plugin may have started.
    #[must_use]
    pub fn new(api: &'static dyn HostApi) -> Self {
        static TABLE: OnceLock<HostVt_Ref> = OnceLock::new();
        let vt = *TABLE.get_or_init(|| {
            HostVt {
                log: host_log,
                now_us: host_now_us,
                monotonic_ns: host_monotonic_ns,
                sleep_until: host_sleep_until,
                cancelled: host_cancelled,
                request_checkpoint: host_request_checkpoint,
                metric: host_metric,
                extension: host_extension,
            }
            .leak_into_prefix()
        });
        let ctx: &'static HostCtx = Box::leak(Box::new(api));
        Self {
            ctx: ptr::from_ref(ctx).cast(),
            vt,
        }
    }
}

impl HostServices {
    /// An optional ability of the host, asked for as `name/1`; null: it has none of that name.
    #[must_use]
    pub fn extension(&self, name: &str) -> *const c_void {
        (self.vt.extension())(self.ctx, name.into())
    }
}

impl HostApi for HostServices {
    fn log(&self, level: Level, message: &str) {
        (self.vt.log())(self.ctx, level as u32, message.into());
    }
    fn now_us(&self) -> i64 {
        (self.vt.now_us())(self.ctx)
    }
    fn monotonic_ns(&self) -> u64 {
        (self.vt.monotonic_ns())(self.ctx)
    }
    fn sleep_until(&self, monotonic_ns: u64) -> bool {
        (self.vt.sleep_until())(self.ctx, monotonic_ns)
    }
    fn cancelled(&self) -> bool {
        (self.vt.cancelled())(self.ctx)
    }
    fn request_checkpoint(&self) {
        (self.vt.request_checkpoint())(self.ctx);
    }
    fn metric(&self, name: &str, kind: MetricKind, value: f64) {
        (self.vt.metric())(self.ctx, name.into(), kind as u32, value);
    }
}

/// What a stage reports during a call. Implemented by the host.
pub trait OutApi {
    /// Takes a batch for a port; false: it was taken, but the stage should stop emitting now.
    fn emit(&mut self, port: u32, batch: RawBatch) -> bool;
    /// `n` records of input batch `seq` were used.
    fn consumed(&mut self, seq: u64, n: u64);
    /// `n` records of input batch `seq` were passed over on purpose.
    fn filtered(&mut self, seq: u64, n: u64);
    /// Record `index` of input batch `seq` cannot be used.
    fn reject(&mut self, seq: u64, index: u32, reason: &str, pointer: &str);
    /// Bytes that a source read and that are no record.
    fn reject_raw(&mut self, bytes: &[u8], reason: &str, pointer: &str);
}

/// Table behind [`OutHandle`]. Appended to, never changed.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = OutVt_Ref)))]
#[sabi(missing_field(panic))]
pub struct OutVt {
    emit: extern "C" fn(*mut c_void, u32, RawBatch) -> bool,
    consumed: extern "C" fn(*mut c_void, u64, u64),
    filtered: extern "C" fn(*mut c_void, u64, u64),
    reject: extern "C" fn(*mut c_void, u64, u32, RStr<'_>, RStr<'_>),
    #[sabi(last_prefix_field)]
    reject_raw: extern "C" fn(*mut c_void, RSlice<'_, u8>, RStr<'_>, RStr<'_>),
}

/// `out` of one call, as it crosses the boundary.
#[repr(C)]
#[derive(StableAbi)]
pub struct OutHandle<'a> {
    ctx: *mut c_void,
    vt: OutVt_Ref,
    _borrow: PhantomData<&'a mut ()>,
}

type OutCtx<'a> = &'a mut dyn OutApi;

/// # Safety
/// `ctx` must come from [`OutHandle::with`], whose closure is still running on this thread.
unsafe fn out<'a>(ctx: *mut c_void) -> &'a mut dyn OutApi {
    // SAFETY: by contract `ctx` points at a live `OutCtx` that nothing else uses meanwhile.
    unsafe { &mut **ctx.cast::<OutCtx<'a>>() }
}

extern "C" fn out_emit(ctx: *mut c_void, port: u32, batch: RawBatch) -> bool {
    // SAFETY: the table is only ever paired with a context of `OutHandle::with`.
    guarded(false, || unsafe { out(ctx) }.emit(port, batch))
}
extern "C" fn out_consumed(ctx: *mut c_void, seq: u64, n: u64) {
    // SAFETY: see out_emit.
    guarded((), || unsafe { out(ctx) }.consumed(seq, n));
}
extern "C" fn out_filtered(ctx: *mut c_void, seq: u64, n: u64) {
    // SAFETY: see out_emit.
    guarded((), || unsafe { out(ctx) }.filtered(seq, n));
}
extern "C" fn out_reject(ctx: *mut c_void, seq: u64, i: u32, reason: RStr<'_>, pointer: RStr<'_>) {
    // SAFETY: see out_emit.
    guarded((), || {
        // SAFETY: the table is only ever paired with a context of `OutHandle::with`.
        unsafe { out(ctx) }.reject(seq, i, reason.as_str(), pointer.as_str())
    });
}
extern "C" fn out_reject_raw(
    ctx: *mut c_void,
    b: RSlice<'_, u8>,
    reason: RStr<'_>,
    pointer: RStr<'_>,
) {
    // SAFETY: see out_emit.
    guarded((), || {
        // SAFETY: the table is only ever paired with a context of `OutHandle::with`.
        unsafe { out(ctx) }.reject_raw(b.as_slice(), reason.as_str(), pointer.as_str())
    });
}

impl OutHandle<'_> {
    /// Lends `api` for the time of one call.
    pub fn with<R>(mut api: &mut dyn OutApi, call: impl FnOnce(&mut OutHandle<'_>) -> R) -> R {
        static TABLE: OnceLock<OutVt_Ref> = OnceLock::new();
        let vt = *TABLE.get_or_init(|| {
            OutVt {
                emit: out_emit,
                consumed: out_consumed,
                filtered: out_filtered,
                reject: out_reject,
                reject_raw: out_reject_raw,
            }
            .leak_into_prefix()
        });
        let ctx = ptr::from_mut::<&mut dyn OutApi>(&mut api).cast();
        call(&mut OutHandle {
            ctx,
            vt,
            _borrow: PhantomData,
        })
    }
}

impl OutApi for OutHandle<'_> {
    fn emit(&mut self, port: u32, batch: RawBatch) -> bool {
        (self.vt.emit())(self.ctx, port, batch)
    }
    fn consumed(&mut self, seq: u64, n: u64) {
        (self.vt.consumed())(self.ctx, seq, n);
    }
    fn filtered(&mut self, seq: u64, n: u64) {
        (self.vt.filtered())(self.ctx, seq, n);
    }
    fn reject(&mut self, seq: u64, index: u32, reason: &str, pointer: &str) {
        (self.vt.reject())(self.ctx, seq, index, reason.into(), pointer.into());
    }
    fn reject_raw(&mut self, bytes: &[u8], reason: &str, pointer: &str) {
        (self.vt.reject_raw())(self.ctx, bytes.into(), reason.into(), pointer.into());
    }
}
