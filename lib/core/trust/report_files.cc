// Unpacking what reports come in: gzip, zip, and mail.
#include <algorithm>
#include <cstdint>
#include <utility>
#include <zlib.h>

#include "lib/core/base/strings.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/text.h"
#include "lib/core/trust/dmarc_report.h"

namespace postern::trust {
namespace {

// What zlib may give in one step, so that memory grows with what is really there.
constexpr size_t kStepBytes = 1 << 16;

// Inflater undoes deflate up to a bound. `window_bits` as zlib has it: negative for raw data, 16
// and more for gzip.
class Inflater {
 public:
  explicit Inflater(int window_bits) { ready_ = inflateInit2(&stream_, window_bits) == Z_OK; }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }

  // Run adds one stream to `out` and sets `*used` to the octets that it had; `max_bytes` bounds all
  // of `out`.
  Status Run(std::string_view in, size_t max_bytes, std::string& out, size_t* used) {
    if (!ready_) return ResourceExhausted("no memory to unpack");
    // zlib counts in 32 bits.
    if (in.size() > UINT32_MAX) return ResourceExhausted("the file is too long to unpack");
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    while (true) {
      const size_t had = out.size();
      const size_t room = std::min(kStepBytes, max_bytes + 1 - std::min(had, max_bytes));
      out.resize(had + room);
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + had);
      stream_.avail_out = static_cast<uInt>(room);
      const int result = inflate(&stream_, Z_NO_FLUSH);
      out.resize(had + room - stream_.avail_out);
      if (out.size() > max_bytes)
        return ResourceExhausted(StrCat("unpacked, it is longer than ", max_bytes, " octets"));
      if (result == Z_STREAM_END) break;
      if (result != Z_OK || (stream_.avail_in == 0 && stream_.avail_out != 0))
        return InvalidArgument(stream_.msg != nullptr ? StrCat("it is damaged: ", stream_.msg)
                                                      : "it is cut off or damaged");
    }
    *used = in.size() - stream_.avail_in;
    return OkStatus();
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
};

bool IsGzip(std::string_view octets) { return octets.starts_with("\x1f\x8b"); }
bool IsZip(std::string_view octets) { return octets.starts_with(std::string_view("PK\3\4", 4)); }

Status Gunzip(std::string_view octets, size_t max_bytes, std::string& out) {
  // Members follow one another (RFC 1952 §2.2); each is at least 18 octets, and their number is so
  // bounded by the input.
  while (IsGzip(octets)) {
    Inflater inflater(16 + MAX_WBITS);
    size_t used = 0;
    POSTERN_RETURN_IF_ERROR(inflater.Run(octets, max_bytes, out, &used));
    octets.remove_prefix(used);
  }
  return OkStatus();
}

// --- zip (PKWARE's APPNOTE, as much as reports have) ---

uint32_t Le(std::string_view octets, size_t at, size_t bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < bytes; ++i)
    value |= static_cast<uint32_t>(static_cast<unsigned char>(octets[at + i])) << (8 * i);
  return value;
}

Status Unzip(std::string_view zip, const DmarcReportLimits& limits, std::vector<ReportFile>* out,
             size_t* total) {
  constexpr size_t kEndBytes = 22, kEntryBytes = 46, kLocalBytes = 30, kMaxComment = 65'535;
  const Status damaged = InvalidArgument("the zip archive is cut off or damaged");
  if (zip.size() < kEndBytes) return damaged;
  // The directory is found from the end (§4.3.16), behind which a comment may stand.
  const size_t from =
      zip.size() > kEndBytes + kMaxComment ? zip.size() - kEndBytes - kMaxComment : 0;
  const size_t end = zip.substr(from).rfind(std::string_view("PK\5\6", 4));
  if (end == std::string_view::npos || from + end + kEndBytes > zip.size()) return damaged;
  size_t count = Le(zip, from + end + 10, 2);
  size_t at = Le(zip, from + end + 16, 4);
  for (; count > 0; --count) {
    if (at > zip.size() || zip.size() - at < kEntryBytes ||
        zip.substr(at, 4) != std::string_view("PK\1\2", 4))
      return damaged;
    const uint32_t flags = Le(zip, at + 8, 2), method = Le(zip, at + 10, 2);
    const size_t packed = Le(zip, at + 20, 4), name_bytes = Le(zip, at + 28, 2);
    const size_t skip = name_bytes + Le(zip, at + 30, 2) + Le(zip, at + 32, 2);
    const size_t local = Le(zip, at + 42, 4);
    if (zip.size() - at - kEntryBytes < skip) return damaged;
    const std::string_view name = zip.substr(at + kEntryBytes, name_bytes);
    at += kEntryBytes + skip;
    if (name.ends_with('/')) continue;
    if (out->size() >= limits.max_files) return OkStatus();
    if ((flags & 1) != 0) return InvalidArgument("the zip archive is encrypted");
    if (local > zip.size() || zip.size() - local < kLocalBytes ||
        zip.substr(local, 4) != std::string_view("PK\3\4", 4))
      return damaged;
    const size_t data = local + kLocalBytes + Le(zip, local + 26, 2) + Le(zip, local + 28, 2);
    if (data > zip.size() || zip.size() - data < packed) return damaged;
    const size_t room = std::min(limits.max_xml_bytes,
                                 limits.max_total_bytes - std::min(*total, limits.max_total_bytes));
    ReportFile file{std::string(name), ""};
    if (method == 0) {
      if (packed > room) return ResourceExhausted("the zip archive has too much in it");
      file.data = std::string(zip.substr(data, packed));
    } else if (method == 8) {
      Inflater inflater(-MAX_WBITS);
      size_t used = 0;
      POSTERN_RETURN_IF_ERROR(inflater.Run(zip.substr(data, packed), room, file.data, &used));
    } else {
      return InvalidArgument(
          StrCat("the zip archive is packed by method ", method, ", which is not deflate"));
    }
    *total += file.data.size();
    out->push_back(std::move(file));
  }
  return OkStatus();
}

Status Unpack(std::string_view octets, std::string_view name, const DmarcReportLimits& limits,
              std::vector<ReportFile>* out, size_t* total) {
  if (IsZip(octets)) return Unzip(octets, limits, out, total);
  const size_t room = std::min(limits.max_xml_bytes,
                               limits.max_total_bytes - std::min(*total, limits.max_total_bytes));
  ReportFile file{std::string(name), ""};
  if (IsGzip(octets)) {
    POSTERN_RETURN_IF_ERROR(Gunzip(octets, room, file.data));
  } else {
    if (octets.size() > room)
      return ResourceExhausted(StrCat("it is longer than ", room, " octets"));
    file.data = std::string(octets);
  }
  *total += file.data.size();
  out->push_back(std::move(file));
  return OkStatus();
}

// FileName is what a part is called (RFC 2183 §2.3, or the "name" of older mail).
std::string FileName(const message::MessageView& message, const message::Part& part) {
  if (const message::Header* header = message.Find(part, "Content-Disposition")) {
    const message::ContentDisposition disposition = message::ParseContentDisposition(header->value);
    if (const std::string* name = disposition.parameters.Find("filename")) return *name;
  }
  if (const message::Header* header = message.Find(part, message::Field::kContentType)) {
    const message::ContentType type = message::ParseContentType(header->value);
    if (const std::string* name = type.parameters.Find("name")) return *name;
  }
  return "";
}

bool MayBeReport(const message::Part& part, std::string_view name) {
  for (std::string_view subtype : {"gzip", "x-gzip", "zip", "x-zip", "x-zip-compressed", "xml"})
    if (part.Is("application", subtype)) return true;
  if (part.Is("text", "xml")) return true;
  return EndsWithIgnoreCase(name, ".xml") || EndsWithIgnoreCase(name, ".gz") ||
         EndsWithIgnoreCase(name, ".zip");
}

bool LooksLikeXml(std::string_view octets) {
  if (octets.starts_with("\xEF\xBB\xBF") || octets.starts_with("\xFF\xFE") ||
      octets.starts_with("\xFE\xFF"))
    return true;
  octets = Trim(octets.substr(0, 4096));
  return octets.starts_with('<');
}

}  // namespace

StatusOr<std::vector<ReportFile>> UnpackReportFile(std::string_view octets, std::string_view name,
                                                   const DmarcReportLimits& limits) {
  std::vector<ReportFile> files;
  size_t total = 0;
  POSTERN_RETURN_IF_ERROR(Unpack(octets, name, limits, &files, &total));
  return files;
}

StatusOr<std::vector<ReportFile>> FindReportFiles(const message::MessageView& message,
                                                  const DmarcReportLimits& limits) {
  std::vector<ReportFile> files;
  size_t total = 0;
  Status first_failure;
  for (const message::Part& part : message.parts()) {
    if (part.kind != message::PartKind::kLeaf) continue;
    const std::string name = FileName(message, part);
    if (!MayBeReport(part, name)) continue;
    if (files.size() >= limits.max_files) break;
    std::string octets;
    message::DecodeBody(message, part, octets);
    const Status status = Unpack(octets, name, limits, &files, &total);
    // Past the bound of all together nothing more is tried.
    if (total > limits.max_total_bytes) break;
    if (!status.ok() && first_failure.ok()) first_failure = status;
  }
  if (!files.empty()) return files;
  if (!first_failure.ok()) return first_failure;
  return NotFound("the mail has no attachment that may be a report");
}

StatusOr<std::vector<DmarcReport>> ReadDmarcReports(std::string_view octets,
                                                    const DmarcReportLimits& limits) {
  StatusOr<std::vector<ReportFile>> files =
      IsGzip(octets) || IsZip(octets) || LooksLikeXml(octets)
          ? UnpackReportFile(octets, "", limits)
          : FindReportFiles(message::ParseMessage(octets), limits);
  if (!files.ok()) return files.status();
  std::vector<DmarcReport> reports;
  Status first_failure;
  for (const ReportFile& file : *files) {
    StatusOr<DmarcReport> report = ParseDmarcReport(file.data, limits);
    if (report.ok()) {
      reports.push_back(*std::move(report));
    } else if (first_failure.ok()) {
      first_failure =
          file.name.empty() ? report.status() : Annotate(report.status(), Escape(file.name, 100));
    }
  }
  if (reports.empty())
    return first_failure.ok() ? NotFound("there is no report in it") : first_failure;
  return reports;
}

}  // namespace postern::trust
