//! Registration: [`export_plugin!`](crate::export_plugin).

use crate::{
    Processor, Sink, Source,
    manifest::{StageEntry, StageKind, describe},
    verbs::{ProcessorVerbs, SinkVerbs, SourceVerbs},
};

/// Registers a source.
#[must_use]
pub fn source<S: Source>() -> StageEntry {
    StageEntry {
        kind: StageKind::Source,
        name: S::NAME,
        manifest: || {
            describe::<S::Options>(
                StageKind::Source,
                S::NAME,
                &[],
                S::OUTPUTS,
                (S::STATE_VERSION, S::WORKERS),
            )
        },
        create: || Box::new(SourceVerbs::<S>::default()),
    }
}

/// Registers a processor.
#[must_use]
pub fn processor<P: Processor>() -> StageEntry {
    StageEntry {
        kind: StageKind::Processor,
        name: P::NAME,
        manifest: || {
            describe::<P::Options>(
                StageKind::Processor,
                P::NAME,
                P::INPUTS,
                P::OUTPUTS,
                (P::STATE_VERSION, true),
            )
        },
        create: || Box::new(ProcessorVerbs::<P>::default()),
    }
}

/// Registers a sink.
#[must_use]
pub fn sink<S: Sink>() -> StageEntry {
    StageEntry {
        kind: StageKind::Sink,
        name: S::NAME,
        manifest: || {
            describe::<S::Options>(
                StageKind::Sink,
                S::NAME,
                S::INPUTS,
                &[],
                (S::STATE_VERSION, true),
            )
        },
        create: || Box::new(SinkVerbs::<S>::default()),
    }
}

/// Makes a crate a plugin: once per `cdylib`, with the stages that it offers. Defines the type
/// `ThisPlugin`, which tests use.
///
/// ```ignore
/// export_plugin! { sources: [Ticker], processors: [PerRecord<Shout>], sinks: [Printer] }
/// ```
#[macro_export]
macro_rules! export_plugin {
    (
        $(sources: [$($source:ty),* $(,)?] $(,)?)?
        $(processors: [$($processor:ty),* $(,)?] $(,)?)?
        $(sinks: [$($sink:ty),* $(,)?] $(,)?)?
    ) => {
        #[cfg(panic = "abort")]
        ::core::compile_error!("a plugin must be built with panic = \"unwind\", so that the host can catch a panic");

        /// This crate as a plugin.
        pub struct ThisPlugin;

        impl $crate::abi::root::Plugin for ThisPlugin {
            const NAME: &'static str = ::core::env!("CARGO_PKG_NAME");
            const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
            const LICENSE: &'static str = ::core::env!("CARGO_PKG_LICENSE");
            const DESCRIPTION: &'static str = ::core::env!("CARGO_PKG_DESCRIPTION");
            fn stages() -> ::std::vec::Vec<$crate::manifest::StageEntry> {
                ::std::vec![
                    $($($crate::export::source::<$source>(),)*)?
                    $($($crate::export::processor::<$processor>(),)*)?
                    $($($crate::export::sink::<$sink>(),)*)?
                ]
            }
        }

        const _: () = {
            const PARTS: &[[&str; 2]] = &[
                [::core::env!("CARGO_PKG_NAME"), ""],
                [::core::env!("CARGO_PKG_VERSION"), ""],
                $($(["source:", <$source as $crate::Source>::NAME],)*)?
                $($(["processor:", <$processor as $crate::Processor>::NAME],)*)?
                $($(["sink:", <$sink as $crate::Sink>::NAME],)*)?
            ];
            #[unsafe(no_mangle)]
            static STREAM_PLUGIN_ABI_TAG: $crate::abi::tag::AbiTag<{ $crate::abi::tag::text_len(PARTS) }> =
                $crate::abi::tag::AbiTag::new(PARTS);
            // The name that abi_stable's loader looks for; a test holds it against the crate's own.
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            static ROOT: $crate::abi::root::LibHeader = $crate::abi::root::header::<ThisPlugin>();
        };
    };
}
