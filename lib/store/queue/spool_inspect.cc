#include "lib/store/queue/spool_inspect.h"

#include <memory>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/queue/salvaged_rows.h"
#include "lib/store/sqlite/salvage.h"

namespace postern::store {

using queue::EnvelopeId;
using queue::MessageId;
using sqlite::Salvage;
using sqlite::SalvagedRow;

SpoolInspection InspectSpool(rt::Files& files, const std::string& spool) {
  SpoolInspection inspection;
  const std::string path = spool + "/queue.db";
  if (SizeOf(files, path) == 0) {
    const StatusOr<std::vector<rt::DirectoryEntry>> bodies = files.List(spool + "/bodies");
    if (SizeOf(files, path + "-wal") > 0 || (bodies.ok() && !bodies->empty()))
      inspection.damage = DataLoss(StrCat("damaged database: ", path, " is missing or empty"));
    return inspection;
  }
  // A first start that was cut short is SQLite's to finish.
  if (SizeOf(files, path + "-journal") > 0) return inspection;
  StatusOr<std::unique_ptr<rt::File>> database = OpenIfThere(files, path);
  StatusOr<std::unique_ptr<rt::File>> log = OpenIfThere(files, path + "-wal");
  for (const Status& opened : {database.status(), log.status()}) {
    if (opened.ok()) continue;
    inspection.damage = opened;
    return inspection;
  }
  Salvage salvage(*std::move(database), *std::move(log));
  inspection.damage = salvage.Begin();
  if (!inspection.damage.ok()) return inspection;
  inspection.damage = Annotate(salvage.CheckHeader(), path);
  if (!inspection.damage.ok()) return inspection;
  if (salvage.log().damaged) {
    inspection.damage =
        DataLoss(StrCat("damaged database: ", path, "-wal: frame ", salvage.log().first_bad_frame,
                        " of ", salvage.log().frames));
    return inspection;
  }
  salvage.ForEachTornRow([&](const SalvagedRow& row) {
    if (LooksLikeMessage(row)) inspection.torn.push_back(static_cast<MessageId>(row.rowid));
    if (LooksLikeEnvelope(row))
      inspection.torn.push_back(queue::MessageIdOf(static_cast<EnvelopeId>(row.rowid)));
  });
  SortUnique(inspection.torn);
  return inspection;
}

}  // namespace postern::store
