#include "lib/core/milter/packet.h"

#include <algorithm>

namespace postern::milter {
namespace {

uint32_t ReadUint32(std::string_view octets) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(octets[i]);
  return value;
}

void PutUint32(char* to, uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<char>(value >> (24 - 8 * i) & 0xff);
}

}  // namespace

size_t PacketReader::Feed(std::string_view octets) {
  if (fault_ != Found::kNeedInput) return octets.size();
  buffer_.Consume(taken_);
  taken_ = 0;
  return buffer_.Append(octets);
}

PacketReader::Found PacketReader::Next(Packet* packet) {
  if (fault_ != Found::kNeedInput) return fault_;
  if (taken_ > 0) buffer_.Consume(taken_);
  taken_ = 0;
  const std::string_view there = buffer_.View();
  if (there.size() < kLengthBytes) return Found::kNeedInput;
  const size_t length = ReadUint32(there);
  if (length == 0) return fault_ = Found::kEmpty;
  if (length > max_packet_bytes_) return fault_ = Found::kTooLong;
  if (there.size() < kLengthBytes + length) return Found::kNeedInput;
  packet->code = there[kLengthBytes];
  packet->data = there.substr(kLengthBytes + 1, length - 1);
  taken_ = kLengthBytes + length;
  return Found::kPacket;
}

PacketWriter::PacketWriter(std::string* out, char code) : out_(out), start_(out->size()) {
  out_->append(4, '\0');
  out_->push_back(code);
}

PacketWriter::~PacketWriter() {
  PutUint32(out_->data() + start_, static_cast<uint32_t>(out_->size() - start_ - 4));
}

PacketWriter& PacketWriter::Octet(char c) {
  out_->push_back(c);
  return *this;
}

PacketWriter& PacketWriter::Uint16(uint16_t value) {
  out_->push_back(static_cast<char>(value >> 8));
  out_->push_back(static_cast<char>(value & 0xff));
  return *this;
}

PacketWriter& PacketWriter::Uint32(uint32_t value) {
  char octets[4];
  PutUint32(octets, value);
  out_->append(octets, sizeof octets);
  return *this;
}

PacketWriter& PacketWriter::Text(std::string_view text) {
  const size_t from = out_->size();
  out_->append(text);
  out_->erase(std::remove(out_->begin() + static_cast<ptrdiff_t>(from), out_->end(), '\0'),
              out_->end());
  out_->push_back('\0');
  return *this;
}

PacketWriter& PacketWriter::Octets(std::string_view octets) {
  out_->append(octets);
  return *this;
}

bool FieldReader::Octet(char* c) {
  if (data_.empty()) return false;
  *c = data_.front();
  data_.remove_prefix(1);
  return true;
}

bool FieldReader::Uint16(uint16_t* value) {
  if (data_.size() < 2) return false;
  *value = static_cast<uint16_t>(static_cast<unsigned char>(data_[0]) << 8 |
                                 static_cast<unsigned char>(data_[1]));
  data_.remove_prefix(2);
  return true;
}

bool FieldReader::Uint32(uint32_t* value) {
  if (data_.size() < 4) return false;
  *value = ReadUint32(data_);
  data_.remove_prefix(4);
  return true;
}

bool FieldReader::Text(std::string_view* text) {
  const size_t end = data_.find('\0');
  if (end == std::string_view::npos) return false;
  *text = data_.substr(0, end);
  data_.remove_prefix(end + 1);
  return true;
}

}  // namespace postern::milter
