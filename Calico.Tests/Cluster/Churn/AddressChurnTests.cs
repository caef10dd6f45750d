using System.Globalization;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Cluster.Churn;

/// <summary>
/// Addresses under random kills, partitions and losses of the datastore: nobody gets one that another has, and when
/// everything is whole again each is accounted for. CALICO_CHURN_OPERATIONS and CALICO_CHURN_SEED change how much and what.
/// </summary>
[Layer("cluster")]
[Collection("cluster")]
public class AddressChurnTests(ITestOutputHelper output)
{
    private static int Number(string variable, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out var n) ? n : otherwise;

    [Fact]
    public async Task No_address_is_anybodys_twice_and_none_is_lost_whatever_breaks()
    {
        var operations = Number("CALICO_CHURN_OPERATIONS", 20_000);
        var seed = Number("CALICO_CHURN_SEED", Random.Shared.Next(1_000_000));
        // Three quarters of the addresses are used, so that blocks run out and addresses are borrowed.
        await using var bed = new ChurnBed(seed, nodes: 4, Cidr.Parse("10.65.0.0/24"), blockSize: 28);
        try
        {
            await bed.StartAsync();
            while (bed.Operations < operations)
            {
                using var stop = new CancellationTokenSource();
                var breaking = bed.BreakAsync(stop.Token);
                await bed.CallAsync(Math.Min(10_000, operations - bed.Operations), callers: 16, podsPerNode: 48);
                await stop.CancelAsync();
                await breaking;

                var faults = await bed.AuditAsync();
                Assert.True(faults.IsEmpty, string.Join('\n', faults));
            }
        }
        finally
        {
            foreach (var line in bed.Story)
                output.WriteLine(line);
        }
    }
}
