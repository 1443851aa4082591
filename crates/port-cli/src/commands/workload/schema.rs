//! `port workload schema`.

use port_ops::workload::json_schema;

use crate::error::CommandError;
use crate::ui::Ui;

/// Prints the schema, which is JSON in every format.
pub(super) fn run(ui: Ui) -> Result<(), CommandError> {
    ui.data(&json_schema())
}
