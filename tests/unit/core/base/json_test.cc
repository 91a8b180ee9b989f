#include "lib/core/base/json.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(Json, Document) {
  JsonWriter json;
  json.BeginObject()
      .Key("a")
      .Int(-1)
      .Key("b")
      .BeginArray()
      .Bool(true)
      .Null()
      .String("x")
      .EndArray();
  json.Key("c").BeginObject().EndObject().EndObject();
  EXPECT_EQ(json.text(), "{\"a\":-1,\"b\":[true,null,\"x\"],\"c\":{}}");
}

TEST(Json, Indented) {
  JsonWriter json(true);
  json.BeginObject().Key("a").BeginArray().Int(1).Int(2).EndArray().EndObject();
  EXPECT_EQ(json.text(), "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
}

TEST(Json, StringsOfAnyOctets) {
  const std::pair<std::string_view, const char*> cases[] = {
      {"q\"b\\", R"("q\"b\\")"},
      {std::string_view("\0\x1F\x7F\n\r\t", 6), R"("\u0000\u001f\u007f\n\r\t")"},
      {"\xC3\xBC\xF0\x9F\x98\x80", "\"\xC3\xBC\xF0\x9F\x98\x80\""},
      {"\xFF\xC0\x80\xED\xA0\x80\xE2\x82",
       "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
       "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
  };
  for (const auto& [text, expected] : cases) {
    JsonWriter json;
    EXPECT_EQ(json.String(text).text(), expected);
  }
}

}  // namespace
}  // namespace postern
