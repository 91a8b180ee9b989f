// ARC in C++: chains validated, and sealed for who asks. See arc.h.
#ifndef POSTERN_ARC_HPP
#define POSTERN_ARC_HPP

#include "arc.h"
#include "dkim.hpp"
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

// Arc is the outcome for one message. Views live as long as it does.
class Arc {
 public:
  struct Set {
    std::string_view domain, results;
  };

  int32_t result() const { return postern_arc_result(arc_.get()); }  // POSTERN_ARC_*
  bool passed() const { return result() == POSTERN_ARC_PASS; }
  std::string_view result_name() const { return postern_arc_result_name(arc_.get()); }
  std::string_view reason() const { return postern_arc_reason(arc_.get()); }
  std::string_view explanation() const { return postern_arc_explanation(arc_.get()); }
  uint32_t oldest_pass() const { return postern_arc_oldest_pass(arc_.get()); }
  std::vector<Set> sets() const {
    std::vector<Set> sets(postern_arc_set_count(arc_.get()));
    for (size_t i = 0; i < sets.size(); ++i)
      sets[i] = {postern_arc_set_domain(arc_.get(), i), postern_arc_set_results(arc_.get(), i)};
    return sets;
  }
  std::string_view json() const { return postern_arc_json(arc_.get()); }

 private:
  friend class ArcReader;
  struct Free {
    void operator()(postern_arc* arc) const { postern_arc_free(arc); }
  };
  explicit Arc(postern_arc* arc) : arc_(arc) {}
  std::unique_ptr<postern_arc, Free> arc_;
};

// ArcReader looks at one message that passes in pieces.
class ArcReader {
 public:
  // New takes the options of arc.h; with a key in them the message can be sealed.
  static Result<ArcReader> New(const postern_arc_options& options = POSTERN_ARC_OPTIONS_INIT) {
    postern_arc_reader* made = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_arc_reader_new(&made, &options, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return ArcReader(made);
  }
  Result<Done> Feed(std::string_view octets) {
    postern_error* error = nullptr;
    const postern_status status =
        postern_arc_reader_feed(reader_.get(), octets.data(), octets.size(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Done{};
  }
  // Finish asks `resolver` for the keys, and blocks meanwhile.
  Result<Arc> Finish(const Resolver& resolver) {
    postern_arc* made = nullptr;
    postern_error* error = nullptr;
    const postern_status status =
        postern_arc_reader_finish(reader_.get(), resolver.get(), &made, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Arc(made);
  }
  // Seal gives the fields of a new set, to put in front of the message. After Finish.
  Result<std::string> Seal() {
    postern_str fields;
    postern_error* error = nullptr;
    const postern_status status = postern_arc_reader_seal(reader_.get(), &fields, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return std::string(internal::View(fields));
  }

 private:
  struct Free {
    void operator()(postern_arc_reader* reader) const { postern_arc_reader_free(reader); }
  };
  explicit ArcReader(postern_arc_reader* reader) : reader_(reader) {}
  std::unique_ptr<postern_arc_reader, Free> reader_;
};

}  // namespace postern

#endif  // POSTERN_ARC_HPP
