// A reader of JSON for test data: whole documents, trusted files.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postern::conformance {

// Json is one value. Members keep their order. Asking a value for what it is not gives the empty
// value of that kind.
class Json {
 public:
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };

  // Parse reads a document; a malformed one gives null.
  static Json Parse(std::string_view text);

  Kind kind() const { return kind_; }
  bool IsNull() const { return kind_ == Kind::kNull; }
  bool Bool() const { return boolean_; }
  double Number() const { return number_; }
  int64_t Int() const { return static_cast<int64_t>(number_); }
  const std::string& String() const { return string_; }
  const std::vector<Json>& Array() const { return items_; }
  const std::vector<std::pair<std::string, Json>>& Object() const { return members_; }
  // operator[] gives a member of an object, null when it is not there.
  const Json& operator[](std::string_view name) const;
  bool Has(std::string_view name) const;

 private:
  friend class JsonReader;
  Kind kind_ = Kind::kNull;
  bool boolean_ = false;
  double number_ = 0;
  std::string string_;
  std::vector<Json> items_;
  std::vector<std::pair<std::string, Json>> members_;
};

}  // namespace postern::conformance
