//! The operations that tasks can ask the supervisor for: `idl/jefe.idol`.

use core::convert::Infallible;

use hubris_num_tasks::NUM_TASKS;
use idol_runtime::{Leased, RequestError, W};
use ringbuf::ringbuf_entry_root;
use task_jefe_api::{DumpAgentError, DumpArea, ResetReason};
use userlib::{RecvMessage, kipc, sys_get_timer};

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
        ringbuf_entry_root!(Trace::ResetRequested {
            task: message.sender.index()
        });
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
        // reset.
        self.crashes.emergency_done(message.sender.index());
        Ok(false)
    }
}
