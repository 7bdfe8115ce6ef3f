//! The files of one table that a day's ticks wrote.

use std::collections::BTreeSet;

use storewatch_domain::Slot;
use storewatch_lake::{LakeError, ListedObject, Objects, Table, keys};

use crate::CountryDay;
use crate::record::{Record, Version};

/// A table's files of a day, as its ticks wrote them.
pub(crate) struct TickFiles {
    pub(crate) table: Table,
    files: Vec<(Slot, ListedObject)>,
}

impl TickFiles {
    /// Lists the files of every table that has files or a version.
    ///
    /// Lists tables in the reverse of the order in which ticks write them. So every slot found in
    /// `country_ticks` has its other files too.
    pub(crate) async fn list_all(
        objects: &dyn Objects,
        id: CountryDay,
        record: &Record,
    ) -> Result<Vec<Self>, LakeError> {
        let mut all = Vec::new();
        for table in Table::TICKED.into_iter().rev() {
            all.insert(0, Self::list(objects, table, id).await?);
        }
        all.retain(|ticks| !ticks.files.is_empty() || record.tables.contains_key(&ticks.table));
        Ok(all)
    }

    /// Lists the files of one table. Ignores objects that no tick writes.
    pub(crate) async fn list(objects: &dyn Objects, table: Table, id: CountryDay) -> Result<Self, LakeError> {
        let listed = objects.list(&keys::partition_prefix(table, id.country, id.day)).await?;
        let of_slot =
            |object: ListedObject| Some((keys::slot_of_file(table, id.country, &object.key)?, object));
        Ok(Self { table, files: listed.into_iter().filter_map(of_slot).collect() })
    }

    /// The files and their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Slot, ListedObject)> {
        self.files.iter()
    }

    /// The files without their slots.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &ListedObject> {
        self.files.iter().map(|(_, object)| object)
    }

    /// The slot's file.
    pub(crate) fn of(&self, slot: Slot) -> Option<&ListedObject> {
        self.files.iter().find(|(own, _)| *own == slot).map(|(_, object)| object)
    }

    /// Whether any of the slots has a file.
    pub(crate) fn have(&self, slots: &BTreeSet<Slot>) -> bool {
        self.files.iter().any(|(slot, _)| slots.contains(slot))
    }

    /// The slots with a file that is not part of the version.
    pub(crate) fn fresh(&self, version: Option<&Version>) -> impl Iterator<Item = Slot> {
        let known = move |object: &ListedObject| version.is_some_and(|version| version.has(object));
        self.files.iter().filter(move |(_, object)| !known(object)).map(|(slot, _)| *slot)
    }
}
