//! Bodies in pieces, as the caller sees them: handed in and read, each with its back-pressure.

use std::rc::Weak;

use sennit_engine::{Host, Reactor};

use super::bodies::{
    BodyRead, DOWNLOAD_HIGH, DOWNLOAD_LOW, PieceRefused, Progress, Room, UPLOAD_HIGH, UPLOAD_LOW,
};
use super::exchange::{Failure, RequestId, Response};
use super::{Caller, Client};

impl<H: Host, C: Caller<H>> Client<H, C> {
    /// Takes a piece of a request's body. It may come before there is a connection.
    pub fn send_piece(
        &self,
        reactor: &Reactor<H>,
        id: RequestId,
        piece: &[u8],
    ) -> Result<Room, PieceRefused> {
        self.change_upload(reactor, id, |upload| upload.push(piece))?;
        Ok(self.room(id))
    }

    /// The body of a request has ended.
    pub fn end_body(&self, reactor: &Reactor<H>, id: RequestId) -> Result<(), PieceRefused> {
        self.change_upload(reactor, id, super::bodies::Upload::end)
    }

    fn change_upload(
        &self,
        reactor: &Reactor<H>,
        id: RequestId,
        change: impl FnOnce(&mut super::bodies::Upload) -> Result<(), PieceRefused>,
    ) -> Result<(), PieceRefused> {
        let connection = {
            let mut exchanges = self.exchanges.borrow_mut();
            let exchange = exchanges.get_mut(id).ok_or(PieceRefused::Gone)?;
            change(exchange.upload.as_mut().ok_or(PieceRefused::Gone)?)?;
            exchange.connection.as_ref().and_then(Weak::upgrade)
        };
        if let Some(connection) = connection {
            connection.send_more(reactor);
        }
        Ok(())
    }

    /// Whether more of a request's body is welcome; if not, [`Caller::moved`] is called when it is.
    pub fn room(&self, id: RequestId) -> Room {
        let mut exchanges = self.exchanges.borrow_mut();
        let Some(exchange) = exchanges.get_mut(id) else { return Room::Free };
        let waits = exchange.unsent();
        let Some(upload) = exchange.upload.as_mut() else { return Room::Free };
        upload.wants_room = waits > UPLOAD_HIGH;
        if upload.wants_room { Room::Full } else { Room::Free }
    }

    /// Tells who waits for room, once enough has left.
    pub(super) fn tell_room(&self, reactor: &Reactor<H>, id: RequestId) {
        let call = {
            let mut exchanges = self.exchanges.borrow_mut();
            let Some(exchange) = exchanges.get_mut(id) else { return };
            let waits = exchange.unsent();
            match exchange.upload.as_mut() {
                Some(upload) if upload.wants_room && waits <= UPLOAD_LOW => {
                    upload.wants_room = false;
                }
                _ => return,
            }
            exchange.call.clone()
        };
        self.caller.moved(reactor, &call);
    }

    /// What has come of a response's body. After its end, or a failure, the request is forgotten.
    pub fn read_body(&self, reactor: &Reactor<H>, id: RequestId) -> BodyRead {
        let (read, connection) = {
            let mut exchanges = self.exchanges.borrow_mut();
            let Some(exchange) = exchanges.get_mut(id) else { return BodyRead::Gone };
            let connection = exchange.connection.as_ref().and_then(Weak::upgrade);
            let Some(download) = exchange.download.as_mut() else { return BodyRead::Gone };
            if !download.data.is_empty() {
                (BodyRead::Data(std::mem::take(&mut download.data)), connection)
            } else {
                match std::mem::take(&mut download.progress) {
                    Progress::Ended => (BodyRead::End, None),
                    Progress::Failed(failure) => (BodyRead::Failed(failure), None),
                    progress => {
                        download.progress = progress;
                        download.wants_data = true;
                        (BodyRead::Nothing, connection)
                    }
                }
            }
        };
        if matches!(read, BodyRead::End | BodyRead::Failed(_)) {
            drop(self.take_out(id));
        }
        match (connection, &read) {
            (Some(connection), BodyRead::Nothing) => connection.wait_for_data(reactor),
            (Some(connection), _) => connection.resume(reactor),
            (None, _) => {}
        }
        read
    }

    /// The head of a response that is read in pieces has come. False: it is read whole.
    pub(super) fn tell_head(&self, reactor: &Reactor<H>, id: RequestId, head: Response) {
        let call = {
            let mut exchanges = self.exchanges.borrow_mut();
            let Some(exchange) = exchanges.get_mut(id) else { return };
            if let Some(download) = exchange.download.as_mut() {
                download.progress = Progress::Open;
            }
            exchange.call.clone()
        };
        self.caller.headed(reactor, &call, head);
    }

    /// Bytes that a reader of a response's body still has room for.
    pub(super) fn room_for_data(&self, id: RequestId) -> usize {
        let exchanges = self.exchanges.borrow();
        let download = exchanges.get(id).and_then(|exchange| exchange.download.as_ref());
        DOWNLOAD_HIGH - download.map_or(0, |download| download.data.len()).min(DOWNLOAD_HIGH)
    }

    /// More of a response's body has come. True: the reader has enough for now.
    pub(super) fn add_data(&self, id: RequestId, data: &[u8]) -> bool {
        let mut exchanges = self.exchanges.borrow_mut();
        let Some(download) = exchanges.get_mut(id).and_then(|e| e.download.as_mut()) else {
            return false;
        };
        download.data.extend_from_slice(data);
        download.data.len() >= DOWNLOAD_HIGH
    }

    /// Whether a reader has taken enough for more to be welcome.
    pub(super) fn welcomes_data(&self, id: RequestId) -> bool {
        let exchanges = self.exchanges.borrow();
        let download = exchanges.get(id).and_then(|exchange| exchange.download.as_ref());
        download.is_none_or(|download| download.data.len() <= DOWNLOAD_LOW)
    }

    /// Tells who waits for a response's body that there is more, or its end.
    pub(super) fn tell_data(&self, reactor: &Reactor<H>, id: RequestId) {
        let call = {
            let mut exchanges = self.exchanges.borrow_mut();
            let Some(exchange) = exchanges.get_mut(id) else { return };
            match exchange.download.as_mut() {
                Some(download) if download.wants_data => download.wants_data = false,
                _ => return,
            }
            exchange.call.clone()
        };
        self.caller.moved(reactor, &call);
    }

    /// A response whose head was told has ended, or has failed: its reader finds that behind the data. The outcome is
    /// given back if nobody reads it so.
    pub(super) fn end_download(
        &self,
        reactor: &Reactor<H>,
        id: RequestId,
        outcome: Result<(), Failure>,
    ) -> Option<Result<(), Failure>> {
        {
            let mut exchanges = self.exchanges.borrow_mut();
            let Some(exchange) = exchanges.get_mut(id) else { return Some(outcome) };
            let Some(download) = exchange.download.as_mut() else { return Some(outcome) };
            if !matches!(download.progress, Progress::Open) {
                return Some(outcome);
            }
            exchange.connection = None;
            exchange.upload = None;
            self.count(|statistics| match &outcome {
                Ok(()) => statistics.responses += 1,
                Err(failure) => statistics.count_failure(&failure.cause),
            });
            download.progress = match outcome {
                Ok(()) => Progress::Ended,
                Err(failure) => Progress::Failed(failure),
            };
        }
        self.tell_data(reactor, id);
        None
    }
}
