package main

import (
	"bytes"
	"debug/elf"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
)

func elfExports(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF && s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names, nil
}

// peExports reads the export directory, which debug/pe leaves out.
func peExports(path string) ([]string, error) {
	f, err := pe.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	header, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return nil, errors.New("no 64-bit DLL")
	}
	at := func(address uint32) ([]byte, error) { // what is loaded at an address, to the end of its section
		for _, s := range f.Sections {
			if address >= s.VirtualAddress && address-s.VirtualAddress < s.Size {
				data, err := s.Data()
				if err != nil {
					return nil, err
				}
				return data[address-s.VirtualAddress:], nil
			}
		}
		return nil, fmt.Errorf("address %#x is in no section", address)
	}
	directory := header.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_EXPORT].VirtualAddress
	if directory == 0 {
		return nil, nil
	}
	table, err := at(directory)
	if err != nil {
		return nil, err
	}
	const countAt, namesAt, size = 24, 32, 40 // NumberOfNames, AddressOfNames, the whole directory
	if len(table) < size {
		return nil, errors.New("the export directory is cut off")
	}
	count := binary.LittleEndian.Uint32(table[countAt:])
	pointers, err := at(binary.LittleEndian.Uint32(table[namesAt:]))
	if err != nil || uint64(len(pointers)) < 4*uint64(count) {
		return nil, errors.Join(err, errors.New("the table of names is cut off"))
	}
	var names []string
	for i := range count {
		name, err := at(binary.LittleEndian.Uint32(pointers[4*i:]))
		if err != nil {
			return nil, err
		}
		end := bytes.IndexByte(name, 0)
		if end < 0 {
			return nil, errors.New("a name is cut off")
		}
		names = append(names, string(name[:end]))
	}
	return names, nil
}
