// SpoolReader reads the queue of a server that does not run, and changes nothing in it.
#pragma once

#include <string>
#include <vector>

#include "lib/store/queue/queue.h"
#include "lib/store/sqlite/database.h"

namespace postern::store {

// One thread at a time; every call blocks. The database is open only as long as a call lasts, so
// that a server that starts meanwhile does not wait for who reads a long listing page by page.
// What SQLite has to make beside a database whose server died (the index of its log) belongs to
// the database's owner, whoever asks.
class SpoolReader {
 public:
  // `files` outlives the reader. Of `options` the seal counts: the key, where there is one.
  SpoolReader(rt::Files& files, std::string spool, const QueueOptions& options);

  // Page is some envelopes, in the order of their ids.
  struct Page {
    std::vector<queue::Envelope> envelopes;
    std::vector<queue::EnvelopeId> unreadable;  // damaged, or not in this release's form
    queue::EnvelopeId last = 0;                 // the next page is behind it
    bool end = false;                           // there is none
  };
  // List is Queue::List. kNotFound: there is no queue in this spool; kPermissionDenied;
  // kFailedPrecondition: an envelope takes another key; kDataLoss, the database is damaged (its
  // server will put it in order when it starts).
  StatusOr<Page> List(const ListRequest& request);
  StatusOr<queue::Envelope> Get(queue::EnvelopeId id);
  // OpenBody is Queue::OpenBody, but that nothing is parked.
  StatusOr<std::shared_ptr<const Body>> OpenBody(queue::MessageId id);

 private:
  StatusOr<std::unique_ptr<sqlite::Database>> Open();

  rt::Files& files_;
  const std::string spool_;
  const QueueOptions options_;
};

}  // namespace postern::store
