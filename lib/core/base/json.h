// Writing JSON (RFC 8259).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

// JsonWriter writes one document into a string, piece by piece:
//
//   JsonWriter json;
//   json.BeginObject().Key("result").String("pass").Key("scores").BeginArray().Int(1).EndArray();
//   json.EndObject();
//
// Commas and colons are its business; that keys and values alternate is the caller's. Octets that
// are not UTF-8 become U+FFFD.
class JsonWriter {
 public:
  // With `indent` each value of an object or array stands on a line of its own, two blanks deeper.
  explicit JsonWriter(bool indent = false) : indent_(indent) {}

  JsonWriter& BeginObject() { return Begin('{'); }
  JsonWriter& EndObject() { return End('}'); }
  JsonWriter& BeginArray() { return Begin('['); }
  JsonWriter& EndArray() { return End(']'); }
  JsonWriter& Key(std::string_view name);
  JsonWriter& String(std::string_view text);
  JsonWriter& Int(int64_t value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();

  const std::string& text() const { return out_; }
  std::string Take() { return std::move(out_); }

 private:
  JsonWriter& Begin(char bracket);
  JsonWriter& End(char bracket);
  // Value writes what stands between the value before and this one.
  void Value();
  void Quote(std::string_view text);
  void NewLine();

  std::string out_;
  std::vector<bool> has_values_;  // of each open object and array
  bool after_key_ = false;
  bool indent_;
};

}  // namespace postern
