using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using Calico.Core.Nft;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Render;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Netlink;
using Calico.Kernel.Nft;

namespace Calico.Bench.Cni;

/// <summary>
/// <c>cni-floor.c</c> with what it needs: a namespace in the place of the node, with Calico's tables, and for each pod the
/// nftables batches that Calico would send for it, rendered and encoded by the same code beforehand.
/// </summary>
internal sealed class CniFloor : IDisposable
{
    private const string Source = "Calico.Bench/Cni/cni-floor.c";
    private const string Profile = "k8s-pod-network";

    private readonly string _folder;
    private readonly PolicyRenderer _renderer = new(new RenderOptions());
    private readonly Dictionary<NftTable, NftDelta> _tables = [];
    private ulong _handle = 1;

    public CniFloor(string folder, int count)
    {
        _folder = folder;
        Program = Path.Combine(folder, "cni-floor");
        using (var cc = Process.Start("cc", ["-O2", "-static", "-o", Program, Source]))
        {
            cc.WaitForExit();
            if (cc.ExitCode != 0)
                throw new InvalidOperationException($"{Source} does not compile");
        }
        Space = NetworkNamespace.CreateUnnamed();
        using (var sysctl = Space.OpenSysctl())
        {
            sysctl.Write("ipv4/ip_forward", "1");
            sysctl.Write("ipv6/conf/all/forwarding", "1");
        }
        // The profile's chains are there as long as anybody has it: one who always has makes them nobody's to add or remove.
        _renderer.Apply(new GraphChanges { ProfilesChanged = [new ActiveProfile(Profile, 1, [], [])], EndpointsChanged = [Endpoint(count)] });
        Send(Changes());
        var pods = Enumerable.Range(0, count).Select(Endpoint).ToList();
        for (var i = 0; i < count; i++)
        {
            _renderer.Apply(new GraphChanges { EndpointsChanged = [pods[i]] });
            File.WriteAllBytes(BatchesOf(i, "ADD"), Encode(Changes()));
        }
        for (var i = 0; i < count; i++)
        {
            _renderer.Apply(new GraphChanges { EndpointsRemoved = [pods[i]] });
            File.WriteAllBytes(BatchesOf(i, "DEL"), Encode(Changes()));
        }
    }

    public string Program { get; }
    public NetworkNamespace Space { get; }

    /// <summary>What the program is told beyond what runtimes tell.</summary>
    public IEnumerable<KeyValuePair<string, string>> Environment(int pod, string command) =>
    [
        new("FLOOR_HOST", InterfaceOf(pod)),
        new("FLOOR_ADDRESS", string.Create(CultureInfo.InvariantCulture, $"10.77.{pod >> 8}.{pod & 255}")),
        new("FLOOR_NFT", BatchesOf(pod, command)),
        new("FLOOR_STATE", Path.Combine(_folder, $"{pod}.json")),
    ];

    public void Dispose() => Space.Dispose();

    private string BatchesOf(int pod, string command) => Path.Combine(_folder, $"{pod}.{command}");

    private static string InterfaceOf(int pod) => string.Create(CultureInfo.InvariantCulture, $"calibench{pod:d6}");

    private static EndpointPolicies Endpoint(int pod) => new()
    {
        Endpoint = new LocalEndpoint
        {
            Id = $"default/calico-bench-{pod}/eth0",
            InterfaceName = InterfaceOf(pod),
            Profiles = [Profile],
        },
    };

    // What the kernel would answer is not needed here: chains go by name.
    private List<NftTransaction> Changes()
    {
        var transactions = new List<NftTransaction>();
        foreach (var changes in _renderer.Flush())
        {
            if (!_tables.TryGetValue(changes.Table, out var delta))
            {
                _tables[changes.Table] = delta = new NftDelta(changes.Table);
                delta.Adopt(NftDump.Absent(changes.Table));
            }
            changes.ApplyTo(delta);
            var plan = delta.Plan();
            if (plan.IsEmpty)
                continue;
            delta.Committed(new NftCommitted([.. plan.Ops.Where(o => o.NewRule is not null).Select(_ => _handle++)]));
            transactions.Add(plan);
        }
        return transactions;
    }

    private void Send(List<NftTransaction> transactions)
    {
        foreach (var transaction in transactions)
        {
            using var table = NetlinkNftTable.Open(transaction.Table, Space.Fd);
            table.Commit(transaction);
        }
    }

    private static byte[] Encode(List<NftTransaction> transactions)
    {
        using var bytes = new MemoryStream();
        var length = new byte[4];
        foreach (var transaction in transactions)
        {
            var batch = new NetlinkBatch();
            batch.Clear(1);
            new NftBatchWriter(batch, transaction.Table, echoRules: false).Write(transaction);
            BinaryPrimitives.WriteInt32LittleEndian(length, batch.Length);
            bytes.Write(length);
            bytes.Write(batch.Bytes);
        }
        return bytes.ToArray();
    }
}
