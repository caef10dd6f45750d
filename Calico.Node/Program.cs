using System.CommandLine;
using Calico.Node.Agent;
using Calico.Node.Bgp;
using Calico.Node.Cni;
using Calico.Node.Lab;

// calico-node is one program:
//   run          the agent of a node (the default)        -> Agent/AgentCommand.cs
//   bgp          a BGP speaker outside a cluster          -> Bgp/BgpCommand.cs
//   datastore    the embedded store, served as etcd       -> Agent/DatastoreCommand.cs
//   install-cni  the plugin and its configuration       -> Cni/InstallCommand.cs
//   lab          a cluster in network namespaces          -> Lab/LabCommand.cs
var root = new RootCommand("Calico's node agent: networking and network policy of one machine.")
{
    AgentCommand.Create(),
    BgpCommand.Create(),
    DatastoreCommand.Create(),
    InstallCommand.Create(),
    LabCommand.Create(),
};
root.SetAction((_, cancellation) => AgentCommand.RunAsync(cancellation));
// A lab that is interrupted is taken down first.
var patience = args is ["lab", ..] ? TimeSpan.FromMinutes(2) : TimeSpan.FromSeconds(2);
return await root.Parse(args).InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = patience });
