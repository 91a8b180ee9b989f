// Reads a message from standard input and prints who wrote what, and its attachments.
#include <iostream>
#include <iterator>
#include <string>

#include <postern/message.hpp>

int main() {
  const std::string octets(std::istreambuf_iterator<char>(std::cin), {});
  const auto message = postern::ParsedMessage::ParseBorrowed(octets);
  if (!message) {
    std::cerr << message.error().message << "\n";
    return 1;
  }
  const postern::MessagePart root = message->root();
  if (const auto from = root.Addresses("From"); from.ok()) {
    for (const postern::Address address : *from)
      std::cout << "from " << address.name << " <" << address.address << ">\n";
  }
  std::cout << "subject " << root.Find("Subject") << "\n";
  std::cout << "says " << message->Preview().value_or("") << "\n";
  for (std::size_t i = 0; i < message->size(); ++i) {
    const postern::MessagePart part = message->part(i);
    if (part.file_name().empty()) continue;
    std::size_t bytes = 0;
    if (auto reader = part.Read(); reader.ok()) {
      while (const auto piece = reader->Next()) bytes += piece->size();
    }
    std::cout << "file " << part.file_name() << " (" << part.type() << "/" << part.subtype() << ", "
              << bytes << " bytes)\n";
  }
  for (std::size_t i = 0; i < message->defect_count(); ++i)
    std::cout << "defect " << message->defect(i).name << "\n";
  return 0;
}
