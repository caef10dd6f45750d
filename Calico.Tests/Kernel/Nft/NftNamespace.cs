using System.Diagnostics;
using Calico.Core.Nft;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Nft;

namespace Calico.Tests.Kernel.Nft;

/// <summary>
/// A network namespace without a name for nftables tests: it vanishes with this object, and with this process. The
/// nft program, which the product never uses, says what the kernel understood.
/// </summary>
public sealed class NftNamespace : IDisposable
{
    public NetworkNamespace Namespace { get; } = NetworkNamespace.CreateUnnamed();

    public NetlinkNftTable Open(NftTable table) => NetlinkNftTable.Open(table, Namespace.Fd);

    /// <summary>Feeds nft a script.</summary>
    public void Script(string script) => Run("nft", ["-f", "-"], script);

    /// <summary>
    /// What nft says about a table, with the expressions as the kernel has them and without counters.
    /// </summary>
    public string List(NftTable table)
    {
        var lines = Run("nft", ["--debug=netlink", "-s", "list", "table", .. table.ToString().Split(' ')]).Split('\n');
        // Raw members come in the order of a hash table that the kernel seeds; the listing proper has them sorted.
        return string.Join('\n', lines.Where(l => !l.StartsWith("\telement ", StringComparison.Ordinal)));
    }

    /// <summary>Runs a program in the namespace to its end, which must be success.</summary>
    public string Run(string program, string[] arguments, string input = "")
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = ProcessInNamespace.Start(start, Namespace);
        var error = process.StandardError.ReadToEndAsync();
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{program}: {error.GetAwaiter().GetResult()}\n{input}");
        return output;
    }

    public void Dispose() => Namespace.Dispose();
}
