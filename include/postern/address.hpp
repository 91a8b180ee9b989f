// Addresses in C++. Header-only over postern/address.h; C++17; no exceptions of its own.
#ifndef POSTERN_ADDRESS_HPP
#define POSTERN_ADDRESS_HPP

#include "address.h"
#include "result.hpp"
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace postern {

// NormalizeAddress reads one address as SMTP has it and gives the form to compare and store.
inline Result<std::string> NormalizeAddress(std::string_view text) {
  postern_buf out{nullptr, 0};
  postern_error* error = nullptr;
  const postern_status status = postern_address_normalize(&out, text.data(), text.size(), &error);
  if (status != POSTERN_OK) return Error::Take(status, error);
  return internal::TakeBuffer(&out);
}

// DomainToAscii gives a domain name as the DNS has it.
inline Result<std::string> DomainToAscii(std::string_view domain) {
  postern_buf out{nullptr, 0};
  postern_error* error = nullptr;
  const postern_status status = postern_domain_to_ascii(&out, domain.data(), domain.size(), &error);
  if (status != POSTERN_OK) return Error::Take(status, error);
  return internal::TakeBuffer(&out);
}

// Address is one entry of a list. The views live as long as the list.
struct Address {
  enum class Kind { kMailbox, kGroupBegin, kGroupEnd };
  Kind kind = Kind::kMailbox;
  std::string_view name;        // UTF-8
  std::string_view local_part;  // without quotes
  std::string_view domain;
  std::string_view address;  // local-part@domain
};

// AddressList is the addresses of a header field. It moves; it does not copy.
class AddressList {
 public:
  // Parse reads the value of a field, whatever stands in it.
  static Result<AddressList> Parse(std::string_view value) {
    postern_address_list* list = nullptr;
    postern_error* error = nullptr;
    const postern_status status =
        postern_address_list_parse(&list, value.data(), value.size(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return AddressList(list);
  }
  // It takes a list of the C API.
  explicit AddressList(postern_address_list* list) : list_(list) {}

  std::size_t size() const { return postern_address_list_count(list_.get()); }
  bool empty() const { return size() == 0; }
  Address operator[](std::size_t index) const {
    postern_address entry{};
    entry.struct_size = sizeof entry;
    Address address;
    if (postern_address_list_get(&entry, list_.get(), index) != POSTERN_OK) return address;
    address.kind = static_cast<Address::Kind>(entry.kind);
    address.name = internal::View(entry.name);
    address.local_part = internal::View(entry.local_part);
    address.domain = internal::View(entry.domain);
    address.address = internal::View(entry.address);
    return address;
  }

  // Entries can be walked over with a range-for.
  class Iterator {
   public:
    Iterator(const AddressList* list, std::size_t index) : list_(list), index_(index) {}
    Address operator*() const { return (*list_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return index_ != other.index_; }

   private:
    const AddressList* list_;
    std::size_t index_;
  };
  Iterator begin() const { return Iterator(this, 0); }
  Iterator end() const { return Iterator(this, size()); }

 private:
  struct Free {
    void operator()(postern_address_list* list) const { postern_address_list_free(list); }
  };
  std::unique_ptr<postern_address_list, Free> list_;
};

}  // namespace postern

#endif  // POSTERN_ADDRESS_HPP
