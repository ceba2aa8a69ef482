// A folder in which a run keeps what it has done.
#include "tool/work_folder.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <unistd.h>

#include "tool/error.hpp"

namespace tool {

namespace fs = std::filesystem;

uint64_t digest(const void *bytes, size_t size, uint64_t start)
{
    const auto *at = static_cast<const unsigned char *>(bytes);
    for (size_t i = 0; i < size; i++)
        start = (start ^ at[i]) * 0x100000001b3u;
    return start;
}

std::string hexadecimal(uint64_t value)
{
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
    return text;
}

namespace {

const char *const manifest_name = "manifest";

std::string read_file(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return file ? bytes.str() : std::string();
}

WorkFolder::Conditions read_manifest(const std::string &path, const std::string &kind)
{
    std::istringstream lines(read_file(path));
    std::string line;
    WorkFolder::Conditions conditions;
    if (!std::getline(lines, line) || line != kind)
        throw Error(path + ": is not of a run that can be resumed");
    while (std::getline(lines, line))
        conditions.emplace_back(line.substr(0, line.find('\t')),
                                line.find('\t') == std::string::npos ? "" : line.substr(line.find('\t') + 1));
    return conditions;
}

} // namespace

WorkFolder::WorkFolder(const std::string &folder, const std::string &kind, const Conditions &conditions)
    : folder_(folder)
{
    std::error_code code;
    fs::create_directories(folder, code);
    if (!fs::is_directory(folder))
        throw Error(folder + ": cannot be made a folder" + (code ? ": " + code.message() : std::string()));
    if (!has(manifest_name)) {
        if (!fs::is_empty(folder, code) || code)
            throw Error(folder + ": is neither empty nor of a run that can be resumed");
        std::string text = kind + "\n";
        for (const auto &entry : conditions)
            text += entry.first + "\t" + entry.second + "\n";
        write(manifest_name, text);
        return;
    }
    const Conditions there = read_manifest(path(manifest_name), kind);
    for (size_t i = 0; i < std::max(conditions.size(), there.size()); i++) {
        if (i < conditions.size() && i < there.size() && conditions[i] == there[i])
            continue;
        const auto text = [&](const Conditions &list) {
            return i < list.size() ? list[i].second : std::string("nothing");
        };
        const std::string name = i < conditions.size() ? conditions[i].first : there[i].first;
        throw Error(folder + ": is of a run with another " + name + ": " + text(there) + ", now " + text(conditions));
    }
}

bool WorkFolder::has(const std::string &name) const
{
    return fs::exists(path(name));
}

std::string WorkFolder::read(const std::string &name) const
{
    return read_file(path(name));
}

void WorkFolder::write(const std::string &name, const std::string &bytes) const
{
    const std::string target = path(name), temporary = target + ".new";
    const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    bool good = file >= 0;
    for (size_t at = 0; good && at < bytes.size();) {
        const ssize_t written = ::write(file, bytes.data() + at, bytes.size() - at);
        good = written > 0;
        at += good ? static_cast<size_t>(written) : 0;
    }
    int error = errno;
    if (file >= 0 && close(file) != 0 && good) {
        good = false;
        error = errno;
    }
    if (good && std::rename(temporary.c_str(), target.c_str()) != 0) {
        good = false;
        error = errno;
    }
    if (!good) {
        unlink(temporary.c_str());
        throw Error(target + ": " + std::strerror(error));
    }
}

void WorkFolder::remove(const std::string &name) const
{
    unlink(path(name).c_str());
}

} // namespace tool
