//! The operations that tasks can ask the supervisor for: `idl/jefe.idol`.

use core::convert::Infallible;

use crashlog_supervisor::RegionRefusal;
use hubris_num_tasks::NUM_TASKS;
use idol_runtime::{Leased, R, RequestError, W};
use ringbuf::ringbuf_entry_root;
use task_jefe_api::{CrashRegionError, DumpAgentError, DumpArea, REGION_NAME_MAX, ResetReason};
use userlib::{RecvMessage, TaskId, kipc, sys_get_timer};

use crate::{Server, Trace, config, idl, post_all};

impl idl::InOrderJefeImpl for Server {
    fn get_state(&mut self, _: &RecvMessage) -> Result<u32, RequestError<Infallible>> {
        Ok(self.state)
    }

    fn set_state(&mut self, _: &RecvMessage, state: u32) -> Result<(), RequestError<Infallible>> {
        if self.state != state {
            self.state = state;
            ringbuf_entry_root!(Trace::State(state));
            post_all(config::ON_STATE_CHANGE);
        }
        Ok(())
    }

    fn request_reset(&mut self, message: &RecvMessage) -> Result<(), RequestError<Infallible>> {
        let task = message.sender.index();
        ringbuf_entry_root!(Trace::ResetRequested { task });
        if self.crashes.in_emergency() {
            // The reset comes at its end.
            return Ok(());
        }
        self.crashes.note_restart(task);
        self.crashes.end_trial();
        kipc::system_restart()
    }

    fn get_reset_reason(
        &mut self,
        _: &RecvMessage,
    ) -> Result<ResetReason, RequestError<Infallible>> {
        Ok(self.reset_reason)
    }

    fn set_reset_reason(
        &mut self,
        _: &RecvMessage,
        reason: ResetReason,
    ) -> Result<(), RequestError<Infallible>> {
        self.reset_reason = reason;
        Ok(())
    }

    // Without the feature `dump` these answer that there are no areas.

    fn reinitialize_dump_areas(
        &mut self,
        _: &RecvMessage,
    ) -> Result<(), RequestError<DumpAgentError>> {
        Ok(self.dumps.reinitialize()?)
    }

    fn get_dump_area(
        &mut self,
        _: &RecvMessage,
        index: u8,
    ) -> Result<DumpArea, RequestError<DumpAgentError>> {
        Ok(self.dumps.area(index)?)
    }

    fn claim_dump_area(
        &mut self,
        _: &RecvMessage,
    ) -> Result<DumpArea, RequestError<DumpAgentError>> {
        Ok(self.dumps.claim()?)
    }

    fn dump_task(
        &mut self,
        _: &RecvMessage,
        task_index: u32,
    ) -> Result<u8, RequestError<DumpAgentError>> {
        Ok(self.dumps.task(task_index)?)
    }

    fn dump_task_region(
        &mut self,
        _: &RecvMessage,
        task_index: u32,
        address: u32,
        length: u32,
    ) -> Result<u8, RequestError<DumpAgentError>> {
        Ok(self.dumps.region(task_index, address, length)?)
    }

    fn reinitialize_dump_from(
        &mut self,
        _: &RecvMessage,
        index: u8,
    ) -> Result<(), RequestError<DumpAgentError>> {
        Ok(self.dumps.reinitialize_from(index)?)
    }

    fn restart_me_raw(&mut self, message: &RecvMessage) -> Result<(), RequestError<Infallible>> {
        let task = message.sender.index();
        ringbuf_entry_root!(Trace::RestartMe { task });
        // The reply goes to the generation of the caller that this ends, so the kernel drops it.
        self.restart(task, sys_get_timer().now);
        Ok(())
    }

    #[cfg(feature = "fault-notification")]
    fn read_fault_counts(
        &mut self,
        _: &RecvMessage,
        data: Leased<W, [usize; NUM_TASKS]>,
    ) -> Result<(), RequestError<Infallible>> {
        data.write(self.fault_counts)
            .map_err(|()| idol_runtime::ClientError::WentAway.fail())
    }

    #[cfg(not(feature = "fault-notification"))]
    fn read_fault_counts(
        &mut self,
        _: &RecvMessage,
        _data: Leased<W, [usize; NUM_TASKS]>,
    ) -> Result<(), RequestError<Infallible>> {
        Err(idol_runtime::ClientError::UnknownOperation.fail())
    }

    fn emergency_done(
        &mut self,
        message: &RecvMessage,
        outcome: u32,
    ) -> Result<bool, RequestError<Infallible>> {
        ringbuf_entry_root!(Trace::EmergencyDone { outcome });
        // Does not return if the caller is the recorder and there is an emergency: the system is
        // reset. Unless there is a snapshot to write.
        let writes_snapshot = self.crashes.emergency_done(message.sender.index());
        self.trace_emergency();
        Ok(writes_snapshot)
    }

    fn register_crash_region(
        &mut self,
        message: &RecvMessage,
        address: u32,
        length: u32,
        name: Leased<R, [u8; REGION_NAME_MAX]>,
    ) -> Result<(), RequestError<CrashRegionError>> {
        self.change_regions(message.sender, name, Some((address, length)))
    }

    fn unregister_crash_region(
        &mut self,
        message: &RecvMessage,
        name: Leased<R, [u8; REGION_NAME_MAX]>,
    ) -> Result<(), RequestError<CrashRegionError>> {
        self.change_regions(message.sender, name, None)
    }

    fn alive(&mut self, message: &RecvMessage) -> Result<(), RequestError<Infallible>> {
        self.crashes.alive(message.sender.index());
        Ok(())
    }
}

impl Server {
    /// Registers the caller's region at this address and of this length, or ends a registration.
    // Not inlined: its frame would be on the stack of every emergency.
    #[inline(never)]
    fn change_regions(
        &mut self,
        task: TaskId,
        name: Leased<R, [u8; REGION_NAME_MAX]>,
        place: Option<(u32, u32)>,
    ) -> Result<(), RequestError<CrashRegionError>> {
        let Some(name) = name.read() else {
            return Err(idol_runtime::ClientError::WentAway.fail());
        };
        let result = match place {
            Some((address, length)) => self.crashes.register_region(task, &name, address, length),
            None => self.crashes.unregister_region(task, &name),
        };
        result.map_err(|refusal| refused(task, refusal))
    }
}

fn refused(task: TaskId, refusal: RegionRefusal) -> RequestError<CrashRegionError> {
    let error = match refusal {
        RegionRefusal::InvalidName => CrashRegionError::InvalidName,
        RegionRefusal::NameTaken => CrashRegionError::NameTaken,
        RegionRefusal::NotReadable => CrashRegionError::NotReadable,
        RegionRefusal::BadDeviceRange => CrashRegionError::BadDeviceRange,
        RegionRefusal::TooMany => CrashRegionError::TooMany,
        RegionRefusal::TooLong => CrashRegionError::TooLong,
        RegionRefusal::RegistryFull => CrashRegionError::RegistryFull,
        RegionRefusal::NotRegistered => CrashRegionError::NotRegistered,
    };
    ringbuf_entry_root!(Trace::RegionRefused {
        task: task.index(),
        error
    });
    error.into()
}
