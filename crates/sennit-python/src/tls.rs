//! `core.TlsServer` and `core.TlsClient`: the engine's TLS settings as Python objects, and what a
//! handshake has agreed upon as a tuple.

use std::cell::RefCell;

use pyo3_ffi as ffi;
use sennit_engine::clock::Nanos;
use sennit_engine::tls::client::Trust;
use sennit_engine::tls::identity::Identity;
use sennit_engine::tls::server::{ClientCertificate, Versions};
use sennit_engine::tls::{
    ClientSettings, Details, Fault, ServerSettings, Session, TlsClient, TlsServer,
};
use sennit_engine::transport::Handshake;

use crate::globals::globals;
use crate::http::errors;
use crate::kit::{
    Args, Head, Object, Outcome, Raised, TypeSpec, borrowed_slice, doc, free, guard, none,
    one_argument, raise, row,
};

#[repr(C)]
struct ServerObject {
    head: Head,
    settings: RefCell<Option<TlsServer>>,
}

#[repr(C)]
struct ClientObject {
    head: Head,
    settings: RefCell<Option<TlsClient>>,
}

impl From<Fault> for Raised {
    fn from(fault: Fault) -> Raised {
        std::io::Error::from(fault).into()
    }
}

fn wrong(usage: &str) -> Raised {
    // SAFETY: reading a static of the interpreter; GIL.
    raise(unsafe { ffi::PyExc_TypeError }, usage)
}

fn truth(value: *mut ffi::PyObject) -> Outcome<bool> {
    // SAFETY: a live argument; GIL.
    unsafe { Object::from_borrowed(value) }.truth()
}

/// The items of a tuple argument.
fn items<'a>(value: *mut ffi::PyObject) -> Outcome<&'a [*mut ffi::PyObject]> {
    // SAFETY: a live argument, whose type is checked, and which outlives the call; GIL.
    unsafe {
        if ffi::PyTuple_Check(value) == 0 {
            return Err(wrong("a tuple is expected here"));
        }
        Ok(borrowed_slice(value))
    }
}

fn bytes(value: *mut ffi::PyObject) -> Outcome<Vec<u8>> {
    // SAFETY: a live argument; GIL.
    unsafe { Args::new(&value, 1) }.bytes(0).map(<[u8]>::to_vec)
}

fn text(value: *mut ffi::PyObject) -> Outcome<String> {
    // SAFETY: a live argument; GIL.
    unsafe { Args::new(&value, 1) }.text(0).map(str::to_owned)
}

/// An identity out of `(name, certificates, key)`.
fn identity(value: *mut ffi::PyObject) -> Outcome<Identity> {
    match items(value)? {
        [name, certificates, key] => Ok(Identity {
            name: text(*name)?,
            certificates: bytes(*certificates)?,
            key: bytes(*key)?,
        }),
        _ => Err(wrong("an identity is (name, certificates, key)")),
    }
}

fn each<T>(
    value: *mut ffi::PyObject,
    convert: impl Fn(*mut ffi::PyObject) -> Outcome<T>,
) -> Outcome<Vec<T>> {
    items(value)?.iter().map(|item| convert(*item)).collect()
}

/// Versions out of `("1.2", "1.3")`, which the Python half has checked.
fn versions(value: *mut ffi::PyObject) -> Outcome<Versions> {
    let named = each(value, text)?;
    let has = |name: &str| named.iter().any(|given| given == name);
    Ok(Versions { tls12: has("1.2"), tls13: has("1.3") })
}

unsafe extern "C" fn new_server(
    class: *mut ffi::PyTypeObject,
    arguments: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: a live tuple of CPython's; GIL.
        let values = unsafe { borrowed_slice(arguments) };
        let [identities, alpn, named, client_certificate, client_ca, tickets] = values else {
            return Err(wrong(
                "TlsServer(identities, alpn, versions, client_certificate, client_ca, tickets)",
            ));
        };
        let settings = TlsServer::new(&ServerSettings {
            identities: each(*identities, identity)?,
            alpn: each(*alpn, bytes)?,
            versions: versions(*named)?,
            client_certificate: match text(*client_certificate)?.as_str() {
                "optional" => ClientCertificate::Optional,
                "required" => ClientCertificate::Required,
                _ => ClientCertificate::Ignored,
            },
            client_ca: bytes(*client_ca)?,
            tickets: truth(*tickets)?,
        })?;
        // SAFETY: the type's allocator gives zeroed memory, which is written before anybody sees
        // it; GIL.
        unsafe {
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            let this = object.as_ptr().cast::<ServerObject>();
            (&raw mut (*this).settings).write(RefCell::new(Some(settings)));
            Ok(object)
        }
    })
}

unsafe extern "C" fn new_client(
    class: *mut ffi::PyTypeObject,
    arguments: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: a live tuple of CPython's; GIL.
        let values = unsafe { borrowed_slice(arguments) };
        let [ca, verify, own, alpn, named] = values else {
            return Err(wrong("TlsClient(ca, verify, identity, alpn, versions)"));
        };
        let ca = bytes(*ca)?;
        let settings = TlsClient::new(&ClientSettings {
            trust: match (truth(*verify)?, ca.is_empty()) {
                (false, _) => Trust::Anybody,
                (true, true) => Trust::System,
                (true, false) => Trust::Given(ca),
            },
            identity: each(*own, identity)?.pop(),
            alpn: each(*alpn, bytes)?,
            versions: versions(*named)?,
        })?;
        // SAFETY: as above.
        unsafe {
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            let this = object.as_ptr().cast::<ClientObject>();
            (&raw mut (*this).settings).write(RefCell::new(Some(settings)));
            Ok(object)
        }
    })
}

// replace(other): new connections get the other's settings; sessions can still be resumed.
one_argument!(replace, ServerObject, |this, other| {
    let class = &globals().tls_server_type;
    if !crate::globals::is_instance(other, class)? {
        return Err(wrong("replace(TlsServer)"));
    }
    // SAFETY: its type has just been checked; GIL.
    let other = unsafe { &*other.cast::<ServerObject>() }.settings.borrow().clone();
    let before = this.settings.borrow().clone();
    let settings = match (other, before) {
        (Some(other), Some(before)) => Some(other.with_tickets_of(&before)),
        (other, _) => other,
    };
    let old = this.settings.replace(settings);
    drop(old);
    Ok(none())
});

/// A session of a settings object: a server's, or a client's that asks for a name.
fn session(settings: &Object, server_name: Option<&str>) -> Outcome<Box<dyn Session>> {
    let globals = globals();
    let gone = || Fault::internal("settings are used that were never made");
    if crate::globals::is_instance(settings.as_ptr(), &globals.tls_server_type)? {
        // SAFETY: its type has just been checked; GIL.
        let this = unsafe { &*settings.as_ptr().cast::<ServerObject>() };
        let settings = this.settings.borrow().clone().ok_or_else(gone)?;
        return Ok(settings.session()?);
    }
    if crate::globals::is_instance(settings.as_ptr(), &globals.tls_client_type)? {
        // SAFETY: as above.
        let this = unsafe { &*settings.as_ptr().cast::<ClientObject>() };
        let settings = this.settings.borrow().clone().ok_or_else(gone)?;
        return Ok(settings.session(server_name.unwrap_or_default())?);
    }
    Err(wrong("tls is neither a TlsServer nor a TlsClient"))
}

/// The engine's settings in a `core.TlsClient`.
pub fn client_settings(object: &Object) -> Outcome<TlsClient> {
    if !crate::globals::is_instance(object.as_ptr(), &globals().tls_client_type)? {
        return Err(wrong("tls is no TlsClient"));
    }
    // SAFETY: its type has just been checked; GIL.
    let this = unsafe { &*object.as_ptr().cast::<ClientObject>() };
    let settings = this.settings.borrow().clone();
    settings.ok_or_else(|| Fault::internal("settings are used that were never made").into())
}

/// A handshake of a settings object, with how long it may take in seconds.
pub fn handshake(settings: &Object, server_name: Option<&str>, timeout: f64) -> Outcome<Handshake> {
    Ok(Handshake { session: session(settings, server_name)?, timeout: (timeout * 1e9) as Nanos })
}

/// `(version, cipher, alpn, server_name, peer_certificates, peer_names, resumed)`.
pub fn details_object(details: &Details) -> Outcome<Object> {
    let optional = |value: Option<Outcome<Object>>| value.unwrap_or_else(|| Ok(none()));
    let alpn = details.alpn.as_deref().map(|alpn| Object::text(&String::from_utf8_lossy(alpn)));
    let certificates = tuple(details.peer_certificates.iter().map(|der| Object::bytes(der)))?;
    let names = tuple(details.peer_names.iter().map(|name| Object::text(name)))?;
    tuple(
        [
            Object::text(details.version),
            Object::text(&details.cipher),
            optional(alpn),
            optional(details.server_name.as_deref().map(Object::text)),
            Ok(certificates),
            Ok(names),
            Ok(Object::boolean(details.resumed)),
        ]
        .into_iter(),
    )
}

/// `(common_name, dns_names, uris, emails, addresses, not_before, not_after, serial)`.
pub fn read_certificate(args: Args<'_>) -> Outcome<Object> {
    let found = sennit_wire::certificate::read(args.bytes(0)?).map_err(|error| {
        match errors(c"CertificateError") {
            Ok(class) => raise(class.as_ptr(), &error.to_string()),
            Err(raised) => raised,
        }
    })?;
    let texts = |values: &[String]| tuple(values.iter().map(|value| Object::text(value)));
    let name = found.common_name.as_deref().map_or_else(|| Ok(none()), Object::text);
    let addresses = found.addresses.iter().map(|address| Object::text(&address.to_string()));
    let values = [
        name,
        texts(&found.dns_names),
        texts(&found.uris),
        texts(&found.emails),
        tuple(addresses),
        Object::integer(found.not_before),
        Object::integer(found.not_after),
        Object::bytes(&found.serial),
    ];
    tuple(values.into_iter())
}

fn tuple(values: impl Iterator<Item = Outcome<Object>>) -> Outcome<Object> {
    let values = values.collect::<Outcome<Vec<_>>>()?;
    // SAFETY: a new tuple is filled with owned references before anybody sees it; GIL.
    unsafe {
        let tuple = Object::owned(ffi::PyTuple_New(values.len() as isize))?;
        for (index, value) in values.into_iter().enumerate() {
            ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as isize, value.into_ptr());
        }
        Ok(tuple)
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: a live instance, which holds no Python value but its type.
    unsafe { visit(ffi::Py_TYPE(object).cast(), argument) }
}

unsafe extern "C" fn dealloc_server(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead instance; zeroed settings are none.
    unsafe {
        let this = object.cast::<ServerObject>();
        free(object, || drop((*this).settings.take()));
    }
}

unsafe extern "C" fn dealloc_client(object: *mut ffi::PyObject) {
    // SAFETY: as above.
    unsafe {
        let this = object.cast::<ClientObject>();
        free(object, || drop((*this).settings.take()));
    }
}

/// `core.TlsServer`.
pub fn make_server_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.TlsServer", size_of::<ServerObject>())
        .slot(ffi::Py_tp_new, new_server as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc_server as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"The server's end of TLS; use sennit.net.ServerTls."))
        .methods(vec![row!(one c"replace", replace,
            c"Give new connections the settings of another; tickets stay good.")])
        .build()
}

/// `core.TlsClient`.
pub fn make_client_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.TlsClient", size_of::<ClientObject>())
        .slot(ffi::Py_tp_new, new_client as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc_client as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"The client's end of TLS; use sennit.net.ClientTls."))
        .build()
}
