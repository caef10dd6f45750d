using System.Text;
using Calico.Core.Model;

namespace Calico.Core.Cni;

// A DEL that could not be delivered, because the node was down, waits in a folder beside the node's socket:
//
//     /var/run/calico/cni.sock
//     /var/run/calico/cni/pending-deletes/      0700, root's
//         3f0c…9a.del                           one frame (CniRequest.cs), without a descriptor
//         3f0c…9a.del.1234.tmp                  being written by process 1234
//
// The name is a digest of what the DEL is about, so that a repeated one takes the place of the first.

/// <summary>Names and bounds of the folder where DELs wait for the node.</summary>
public static class CniPendingDelete
{
    public const string Suffix = ".del";
    public const string TemporarySuffix = ".tmp";

    /// <summary>One more DEL is refused: something is wrong that a person has to look at.</summary>
    public const int MaxCount = 4096;

    /// <summary>Bytes of all that wait.</summary>
    public const long MaxBytes = 16 << 20;

    /// <summary>Where DELs wait for the node that listens on this socket.</summary>
    public static string FolderOf(string socket)
    {
        var slash = socket.LastIndexOf('/');
        return string.Concat(slash < 0 ? "" : socket.AsSpan(0, slash + 1), "cni/pending-deletes");
    }

    /// <summary>The file name of a DEL, the same for every DEL of this interface of this container.</summary>
    public static string NameOf(CniPlugin plugin, string network, string containerId, string interfaceName)
    {
        // None of them can hold a newline.
        var what = Encoding.UTF8.GetBytes($"{(int)plugin}\n{network}\n{containerId}\n{interfaceName}");
        return string.Concat(Convert.ToHexStringLower(Sha224.HashData(what).AsSpan(0, 16)), Suffix);
    }
}
