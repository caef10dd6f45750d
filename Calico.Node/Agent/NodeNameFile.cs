using System.Text;
using Calico.Kernel.Files;
using Serilog;

namespace Calico.Node.Agent;

/// <summary>
/// The file that other programs, and network configurations with <c>nodename_file</c>, read this node's name from. A disk that
/// is full is no reason to serve no pods: what is there stays, and a person hears of it.
/// </summary>
internal static class NodeNameFile
{
    private const UnixFileMode Readable = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary>Writes the name if the file has another. False: it could not.</summary>
    public static bool TryWrite(string path, string node)
    {
        try
        {
            if (!File.Exists(path) || File.ReadAllText(path) != node)
                WholeFile.Write(path, Encoding.UTF8.GetBytes(node), Readable);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Log.Warning("{Path} cannot be written: {Cause}; who reads the node's name there does not find it", path, e.Message);
            return false;
        }
    }
}
