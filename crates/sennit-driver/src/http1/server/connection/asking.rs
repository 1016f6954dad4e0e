//! The application asks for the body of a request.

use sennit_engine::{Host, Reactor};

use super::super::Application;
use super::super::body::{BodyFailure, BodyState, Portion};
use super::{Connection, RESUME, Serial};

impl<H: Host, A: Application<H>> Connection<H, A> {
    /// Waits for the body, or for its next piece: [`Application::body_settled`] tells, or
    /// [`Application::body_piece`], unless the state is final already.
    pub fn ask_for_body(
        &self,
        reactor: &Reactor<H>,
        serial: Serial,
        portion: Portion,
    ) -> BodyState {
        let (state, fits, continues) = {
            let mut inner = self.inner.borrow_mut();
            if let Some(failure) = inner.gone(serial) {
                return BodyState::Failed(failure);
            }
            let peer_ended = inner.peer_ended;
            let Some(body) = inner.body.as_mut() else { return BodyState::Complete };
            if matches!(body.state, BodyState::Asked | BodyState::Failed(_)) {
                return body.state;
            }
            if peer_ended && body.state == BodyState::Waiting {
                body.fail(BodyFailure::Lost);
                return body.state;
            }
            let fits = body.ask(portion, reactor.turn_time());
            let continues = body.state == BodyState::Asked && body.expects_continue;
            body.expects_continue &= !continues;
            (body.state, fits, continues)
        };
        if !fits {
            self.server.count(|statistics| statistics.bodies_too_large += 1);
        }
        if state != BodyState::Asked {
            return state;
        }
        if continues {
            self.write_continue(reactor);
        }
        // What is in the buffer already, and what the socket holds, is taken in in a turn of its own: nothing of
        // the application is called from here.
        reactor.dispatch_again(self.token.get(), RESUME);
        self.arm(reactor);
        state
    }

    /// How far the body of a request is, and its bytes as far as they are here.
    pub fn body<T>(&self, serial: Serial, view: impl FnOnce(BodyState, &[u8]) -> T) -> T {
        let inner = self.inner.borrow();
        if let Some(failure) = inner.gone(serial) {
            return view(BodyState::Failed(failure), &[]);
        }
        match &inner.body {
            Some(body) => view(body.state, &body.bytes),
            None => view(BodyState::Complete, &[]),
        }
    }

    /// Takes the bytes that are here, of a complete body or of a piece of it.
    pub fn take_body(&self, serial: Serial) -> Vec<u8> {
        let mut inner = self.inner.borrow_mut();
        if inner.gone(serial).is_some() {
            return Vec::new();
        }
        inner.body.as_mut().map(|body| body.take()).unwrap_or_default()
    }
}
