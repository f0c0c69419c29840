//! Mistakes that are made on purpose, one for each rule of delivery: the simulation has to notice.

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// An epoch's file gets its name before its bytes are on the disk.
    RenameBeforeFsync,
    /// Names of finished files are not made durable.
    NoFolderFsync,
    /// Stages commit before the epoch is kept.
    CommitBeforeStore,
    /// Older epochs go as soon as one is kept, before all have committed it.
    PruneBeforeCommit,
    /// A source whose epoch was undone reads again from the last one.
    AbortUndoes,
    /// Numbers of files in progress are given again after a restart.
    NumberReused,
    /// A source's last barrier overtakes its end.
    BarrierBeforeEnd,
    /// A barrier from before a restart is taken after it.
    StaleBarrierTaken,
    /// Stages hear nothing where there is no epoch to start from.
    RestoreNotCalledAtZero,
    /// Files in progress that no epoch lists stay.
    UnlistedKept,
    /// A limit counts from zero after a restart.
    LimitNotInEpoch,
    /// Letters from behind a barrier are written at once.
    LettersNotHeldBack,
    /// Accounts of an epoch are taken when its state is ready, not at its barrier.
    LateFatesToWrongEpoch,
    /// What a live source sent is forgotten at the barrier instead of at the commit.
    RetainedTrimmedTooEarly,
    /// A changed graph starts from an epoch that did not end a run.
    ChangedGraphFromAnyEpoch,
    /// A region starts again while its epoch is still being written.
    RestartWhileWriting,
    /// The reader of a disk edge sees what its writer has not committed.
    ReadPastCommitted,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::RenameBeforeFsync,
        Self::NoFolderFsync,
        Self::CommitBeforeStore,
        Self::PruneBeforeCommit,
        Self::AbortUndoes,
        Self::NumberReused,
        Self::BarrierBeforeEnd,
        Self::StaleBarrierTaken,
        Self::RestoreNotCalledAtZero,
        Self::UnlistedKept,
        Self::LimitNotInEpoch,
        Self::LettersNotHeldBack,
        Self::LateFatesToWrongEpoch,
        Self::RetainedTrimmedTooEarly,
        Self::ChangedGraphFromAnyEpoch,
        Self::RestartWhileWriting,
        Self::ReadPastCommitted,
    ];
}
