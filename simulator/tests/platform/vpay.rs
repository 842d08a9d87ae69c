//! Virtual payment over HTTP, used by an independently written app.

mod app;
mod calls;
mod clock;
mod console;
mod faults;
mod gifts;
mod inbox;
mod pushes;
mod refusals;
mod sheet;
mod sheet_refusals;
mod store;
mod subscriptions;
